"""Who may do what: a real server as `router gateway init` sets it up, with TLS, nkeys, accounts and permissions.

Every refusal stands beside the same thing done by somebody who may. Each is told at once: no time-out stands for a refusal.
"""

import asyncio
import json
import re
import shutil
import time
from itertools import product

import nkeys
import pytest
from attrs import evolve
from nats.js.errors import NotFoundError

from router.cluster import subjects
from router.cluster.broker.connection import Connection, NoResponders
from router.cluster.broker.credentials import Credentials
from router.cluster.setup.certificates import made
from router.cluster.setup.rights import VERBS, Role, reader
from router.cluster.setup.setting_up import Plan, granted, set_up
from router.cluster.stream.events import OF_A_STRATEGY
from router.errors import GatewayUnreachable, NotAuthorised

from .servers import nats_server

WHO = ["alpha=trade:qfex,dmex", "beta=cancel-only:qfex", "gamma=view:qfex", "delta=trade:dmex"]
ROLES = {"alpha": Role.TRADE, "beta": Role.CANCEL_ONLY, "gamma": Role.VIEW}
TENURE = "7-0123abcd"
SOON = 1.0  # seconds, far more than a refusal takes and less than any time-out here
STREAM = subjects.stream("qfex")
EVENT = subjects.event("qfex", "j1")
LEASE = f"$KV.{subjects.BUCKET}.qfex"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("gateway")
    set_up(found, Plan(venues=["qfex", "dmex"], strategies=granted(WHO)))
    return found


class Nats:
    """The server, and whoever is connected to it."""

    def __init__(self, server, folder):
        self.server, self.folder, self._open = server, folder, []

    def credentials(self, name, **changes):
        return evolve(Credentials.read(self.folder / f"{name}.toml"), **({"url": self.server.url} | changes))

    async def connect(self, name, **changes):
        """The connection; what it is denied is in .denials."""
        denials = []
        found = Connection(self.credentials(name, **changes), name=name, denied=lambda *denial: denials.append(denial))
        self._open.append(found)
        await found.open()
        found.denials = denials
        return found

    async def close(self):
        for each in self._open:
            await each.close()


@pytest.fixture
async def nats(folder):
    shutil.rmtree(folder / "jetstream", ignore_errors=True)  # of the test before
    async with nats_server(config=folder / "nats-server.conf") as server:
        found = Nats(server, folder)
        yield found
        await found.close()


@pytest.fixture
async def gateway(nats):
    """It answers every command with the subject, and has a lease and a stream."""
    found = await nats.connect("gateway")

    async def answer(message):
        await message.respond(message.subject.encode())

    for venue, verb in product(("qfex", "dmex"), subjects.VERBS):
        await found.client.subscribe(subjects.commands(venue, verb, TENURE), cb=answer)
    await found.client.subscribe(subjects.WHO, cb=answer)
    streams = found.client.jetstream()
    await streams.create_key_value(bucket=subjects.BUCKET, history=1)
    await streams.add_stream(name=STREAM, subjects=[subjects.events("qfex")], allow_direct=True)
    await streams.publish(EVENT, b"one")
    await found.client.flush()
    assert not found.denials
    return found


async def asked(connection, subject, body=b""):
    """The answer, or the class of what was raised; in any case soon."""
    begun = time.monotonic()
    try:
        return await connection.request(subject, body, timeout=5)
    except (NotAuthorised, NoResponders) as error:
        return type(error)
    finally:
        assert time.monotonic() - begun < SOON


# -- commands


@pytest.mark.parametrize("name", ROLES)
async def test_each_role_may_use_its_verbs_and_no_other(nats, gateway, name):
    strategy = await nats.connect(name)
    for verb in subjects.VERBS:
        subject = subjects.command("qfex", verb, name, TENURE)
        wanted = subject.encode() if verb in VERBS[ROLES[name]] else NotAuthorised
        assert await asked(strategy, subject) == wanted, verb


def test_the_roles_verbs_are_these():
    assert set(VERBS[Role.TRADE]) == set(subjects.VERBS)
    assert set(VERBS[Role.CANCEL_ONLY]) == set(subjects.VERBS) - {"submit", "replace"}
    assert set(VERBS[Role.VIEW]) == {"open_orders", "recovered"}


@pytest.mark.parametrize("verb", subjects.VERBS)
async def test_no_other_venue_than_those_given(nats, gateway, verb):
    delta, alpha = await nats.connect("delta"), await nats.connect("alpha")
    assert await asked(delta, subjects.command("qfex", verb, "delta", TENURE)) is NotAuthorised
    assert await asked(delta, subjects.command("dmex", verb, "delta", TENURE))
    assert await asked(alpha, subjects.command("qfex", verb, "alpha", TENURE))


async def test_no_command_under_anothers_name(nats, gateway):
    alpha, beta = await nats.connect("alpha"), await nats.connect("beta")
    subject = subjects.command("qfex", "cancel", "beta", TENURE)
    assert await asked(alpha, subject) is NotAuthorised
    assert alpha.denials == [("publish", subject)]
    assert await asked(beta, subject) == subject.encode()


async def test_a_refusal_names_the_subject_and_what_it_is(nats, gateway):
    gamma = await nats.connect("gamma")
    subject = subjects.command("qfex", "submit", "gamma", TENURE)
    with pytest.raises(NotAuthorised, match=f"not authorised: NATS forbids publishing to {re.escape(subject)}"):
        await gamma.request(subject, b"", timeout=5)


async def test_a_hundred_at_once_are_all_refused(nats, gateway):
    gamma = await nats.connect("gamma")
    subject = subjects.command("qfex", "submit", "gamma", TENURE)
    async with asyncio.timeout(SOON):
        told = await asyncio.gather(*(gamma.call(subject, b"") for _ in range(100)), return_exceptions=True)
    assert {type(each) for each in told} == {NotAuthorised}


async def test_an_allowed_subject_without_a_gateway_is_told_as_that(nats, gateway):
    alpha = await nats.connect("alpha")
    assert await asked(alpha, subjects.command("qfex", "submit", "alpha", "8-00000000")) is NoResponders
    assert await asked(alpha, subjects.command("qfex", "submit", "alpha", TENURE))


async def test_everybody_may_ask_who_is_there(nats, gateway):
    for name in ROLES:
        assert await asked(await nats.connect(name), subjects.WHO) == subjects.WHO.encode()


# -- what is not a strategy's


async def test_no_announcement_no_event_and_no_lease_by_a_strategy(nats, gateway):
    alpha = await nats.connect("alpha")
    heard = asyncio.Queue()
    await alpha.client.subscribe(subjects.owner("qfex"), cb=heard.put)
    await alpha.client.flush()
    for subject in (subjects.owner("qfex"), EVENT, LEASE, subjects.WHO + ".x", "anything"):
        assert await asked(alpha, subject, b"forged") is NotAuthorised, subject
    gateway.send(subjects.owner("qfex"), b"genuine")
    async with asyncio.timeout(5):
        assert (await heard.get()).data == b"genuine"
    bucket = await gateway.client.jetstream().key_value(subjects.BUCKET)
    await bucket.put("qfex", b"mine")
    assert (await bucket.get("qfex")).value == b"mine"


@pytest.mark.parametrize("target", [LEASE, EVENT])
async def test_no_answer_is_written_where_the_question_asks_for_it(nats, gateway, target):
    """A reply subject needs no right: in one account whoever answers would write there."""
    alpha = await nats.connect("alpha")
    bucket = await gateway.client.jetstream().key_value(subjects.BUCKET)
    await bucket.put("qfex", b"lease")
    questions = [
        subjects.WHO,
        "$SRV.PING",
        subjects.command("qfex", "open_orders", "alpha", TENURE),
        f"$JS.API.STREAM.INFO.{STREAM}",
        f"$JS.API.CONSUMER.INFO.{STREAM}.x",
    ]
    for subject in questions:
        alpha.send(subject, b"", target)
        assert await asked(alpha, subject), subject  # the question itself is allowed, and this one comes after it
    assert (await bucket.get("qfex")).value == b"lease"
    assert (await gateway.client.jetstream().stream_info(STREAM)).state.messages == 1
    assert not alpha.denials


@pytest.mark.parametrize(
    "subject",
    [
        f"{subjects.inbox('beta')}.>",
        "_INBOX.>",
        ">",
        "router.>",
        "router.cmd.>",
        subjects.commands("qfex", "submit", TENURE),
        subjects.WHO,
        subjects.events("qfex"),
        subjects.owner("dmex"),
        subjects.owner("*"),
        "$KV.>",
        "$SRV.>",
    ],
)
async def test_nobody_listens_where_he_has_no_right_to(nats, gateway, subject):
    gamma = await nats.connect("gamma")
    await gamma.client.subscribe(subject)
    await gamma.client.flush()
    assert gamma.denials == [("subscribe", subject)]
    allowed = await gamma.client.subscribe(subjects.owner("qfex"))
    await gamma.client.subscribe(f"{subjects.inbox('gamma')}.x")
    await gamma.client.flush()
    assert len(gamma.denials) == 1
    gateway.send(subjects.owner("qfex"), b"heard")
    assert (await allowed.next_msg(5)).data == b"heard"


async def test_the_gateway_does_not_give_commands(nats, gateway):
    subject = subjects.command("qfex", "submit", "alpha", TENURE)
    assert await asked(gateway, subject) is NotAuthorised
    assert await asked(await nats.connect("alpha"), subject) == subject.encode()


# -- streams


async def api(connection, what, **body):
    """What JetStream says: its error, "" for none, or NotAuthorised."""
    told = await asked(connection, f"$JS.API.{what}", json.dumps(body).encode() if body else b"")
    return told if isinstance(told, type) else json.loads(told).get("error", {}).get("description", "")


def consumer(name, **more):
    return {"stream_name": STREAM, "config": {"name": name, "ack_policy": "explicit"} | more}


async def test_a_viewer_reads_the_events_of_its_venue(nats, gateway):
    gamma = await nats.connect("gamma")
    name = reader("gamma", "main")
    assert await api(gamma, f"STREAM.INFO.{STREAM}") == ""
    assert await api(gamma, f"CONSUMER.CREATE.{STREAM}.{name}", **consumer(name, durable_name=name)) == ""
    heard = asyncio.Queue()
    inbox = gamma.client.new_inbox()
    await gamma.client.subscribe(inbox, cb=heard.put)
    await gamma.client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}", b"1", inbox)
    async with asyncio.timeout(5):
        message = await heard.get()
        assert message.data == b"one"
        await message.ack_sync()
    assert await api(gamma, f"CONSUMER.INFO.{STREAM}.{name}") == ""
    assert not gamma.denials


@pytest.mark.parametrize(
    "what",
    [
        f"STREAM.DELETE.{STREAM}",
        f"STREAM.PURGE.{STREAM}",
        f"STREAM.UPDATE.{STREAM}",
        f"STREAM.MSG.DELETE.{STREAM}",
        f"STREAM.MSG.GET.KV_{subjects.BUCKET}",
        f"STREAM.INFO.KV_{subjects.BUCKET}",
        f"STREAM.INFO.{subjects.stream('dmex')}",
        f"CONSUMER.DELETE.{STREAM}.own",
        f"CONSUMER.PAUSE.{STREAM}.own",
        f"CONSUMER.CREATE.{STREAM}",
        f"CONSUMER.CREATE.{subjects.stream('dmex')}.own",
        "STREAM.NAMES",
        "STREAM.LIST",
        "INFO",
    ],
)
async def test_nothing_of_a_stream_is_changed_or_deleted_by_a_strategy(nats, gateway, what):
    gamma = await nats.connect("gamma")
    assert await api(gamma, what) is NotAuthorised
    assert await api(gamma, f"CONSUMER.CREATE.{STREAM}.own", **consumer("own")) == ""
    assert (await gateway.client.jetstream().stream_info(STREAM)).state.messages == 1


async def test_a_remembered_reader_is_out_of_others_reach(nats, gateway):
    beta, gamma = await nats.connect("beta"), await nats.connect("gamma")
    name = reader("beta", "main")
    assert await api(beta, f"CONSUMER.CREATE.{STREAM}.{name}", **consumer(name, durable_name=name)) == ""
    spoilt = consumer(name, durable_name=name, inactive_threshold=1_000_000)
    assert await api(gamma, f"CONSUMER.CREATE.{STREAM}.{name}", **spoilt) is NotAuthorised
    assert await api(gamma, f"CONSUMER.CREATE.{STREAM}.other", **spoilt) != ""  # the name is compared by the server
    for what in (
        f"CONSUMER.MSG.NEXT.{STREAM}.{name}",
        f"CONSUMER.INFO.{STREAM}.{name}",
        f"CONSUMER.RESET.{STREAM}.{name}",
    ):
        assert await api(gamma, what) is NotAuthorised
    assert await asked(gamma, f"$JS.ACK.{STREAM}.{name}.1.1.1.1.0", b"+ACK") is NotAuthorised
    assert await api(beta, f"CONSUMER.INFO.{STREAM}.{name}") == ""


def test_a_remembered_readers_name_is_that_of_the_events():
    assert reader("beta", "main") == f"beta{OF_A_STRATEGY}main"


@pytest.mark.parametrize("what", ["STREAM.DELETE", "STREAM.PURGE", "STREAM.MSG.DELETE"])
async def test_not_even_a_gateway_deletes_what_happened(nats, gateway, what):
    assert await api(gateway, f"{what}.{STREAM}") is NotAuthorised
    assert await api(gateway, f"STREAM.INFO.{STREAM}") == ""


# -- who is let in


async def refused(nats, error, words, name="alpha", **changes):
    """It does not get in, and hears why at once. Somebody with the right file does."""
    begun = time.monotonic()
    with pytest.raises(error, match=words) as told:
        await nats.connect(name, **changes)
    assert time.monotonic() - begun < SOON
    assert nats.credentials(name).seed.reveal() not in str(told.value)
    assert (await nats.connect(name)).is_up


async def test_an_unknown_nkey(nats):
    stranger = nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()
    await refused(nats, NotAuthorised, "does not let in 'alpha'", seed=stranger)


async def test_no_credentials(nats):
    await refused(nats, NotAuthorised, "without credentials", seed=None)


async def test_anothers_name(nats):
    await refused(nats, NotAuthorised, "not those of 'beta'", strategy="beta")


async def test_a_server_that_the_ca_does_not_vouch_for(nats, tmp_path):
    (tmp_path / "ca.pem").write_bytes(made("127.0.0.1").authority)
    await refused(nats, GatewayUnreachable, "can't be trusted", ca=tmp_path / "ca.pem")


async def test_a_server_that_the_system_does_not_know(nats):
    await refused(nats, GatewayUnreachable, "can't be trusted", ca=None)


async def test_a_ca_that_is_not_there(nats, tmp_path):
    await refused(nats, GatewayUnreachable, "can't be read", ca=tmp_path / "none.pem")


async def test_in_the_clear_to_a_server_with_tls(nats):
    await refused(nats, GatewayUnreachable, "wants TLS", url=nats.server.url.replace("tls://", "nats://"))


async def test_tls_to_a_server_in_the_clear(nats):
    async with nats_server() as plain:
        await refused(nats, GatewayUnreachable, "does not speak TLS", url=plain.url.replace("nats://", "tls://"))


async def test_a_certificate_in_another_name(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    set_up(elsewhere, Plan(venues=["qfex"], strategies=granted(["alpha=trade:qfex"]), host="nats.example"))
    async with nats_server(config=elsewhere / "nats-server.conf") as server:
        nats = Nats(server, elsewhere)
        with pytest.raises(GatewayUnreachable, match="IP address mismatch"):
            await nats.connect("alpha")
        await nats.close()


async def test_what_it_takes_to_impersonate_the_server_is_never_sent_in_the_clear():
    """Somebody on the way who leaves out TLS gets no signature, and not a word more."""
    heard = bytearray()

    async def between(reader_, writer):
        writer.write(b'INFO {"server_id":"x","max_payload":1048576,"nonce":"abcdefghijk","auth_required":true}\r\n')
        heard.extend(await reader_.read())
        writer.close()

    async with await asyncio.start_server(between, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        seed = nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()
        connection = Connection(Credentials(url=f"tls://127.0.0.1:{port}", seed=seed), name="test")
        with pytest.raises(GatewayUnreachable, match="does not speak TLS"):
            await connection.open()
    assert heard == b""


async def test_nothing_is_there_before_somebody_makes_it(nats):
    """The control of this file: the gateway's rights are enough to make what it needs, and nobody else made it."""
    gateway = await nats.connect("gateway")
    with pytest.raises(NotFoundError):
        await gateway.client.jetstream().stream_info(STREAM)
