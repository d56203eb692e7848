"""Rights as a strategy meets them: RemoteRouter on a server that `router gateway init` set up, with a gateway that owns two venues.

Whatever is forbidden is told at once, as NOT_SENT with "not authorised" or as an exception that says what to do; and beside each
refusal the same is done by somebody who may. test_rights.py has the same rights subject by subject.
"""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import ssl
import time
import traceback
from functools import partial
from itertools import product

import attrs
import nats
import nkeys
import pytest
from attrs import evolve

from adapters.dmex.simulator import DmexSimulator
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, ExecType, GatewayUnreachable, NotAuthorised, Outcome, UnknownVenue
from router.cluster import Credentials, Gateway, RemoteRouter, subjects, wire
from router.cluster.broker.connection import Connection
from router.cluster.setup.certificates import made
from router.cluster.setup.rights import API
from router.cluster.setup.setting_up import Plan, granted, set_up
from router.testing import Switches
from tests import restarting

from .servers import nats_server
from .strategies import limit

WHO = ["alpha=trade:qfex", "beta=cancel-only:qfex", "gamma=view:qfex", "delta=trade:dmex"]
NAMES = ("alpha", "beta", "gamma", "delta")
TTL = 0.4
SOON = 1.0  # seconds, far more than a refusal takes and less than any deadline here
COMMANDS = ("add_order", "modify_order", "cancel_order", "cancel_all_orders")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    found = tmp_path_factory.mktemp("init")
    set_up(found, Plan(venues=["qfex", "dmex"], strategies=granted(WHO)))
    return found


@pytest.fixture
def folder(made_once, tmp_path):
    """With a configuration of its own: NATS keeps what it stores beside it."""
    found = shutil.copytree(made_once, tmp_path / "init")
    path = found / "nats-server.conf"
    path.write_text(path.read_text().replace(str(made_once), str(found)))
    return found


@attrs.define
class Site:
    """One server, a gateway and its venues. qfex, dmex: their simulators."""

    folder: object
    server: object
    qfex: object
    dmex: object

    def credentials(self, name, **changes):
        return evolve(Credentials.read(self.folder / f"{name}.toml"), **({"url": self.server.url} | changes))

    def gateway(self, name="one"):
        venues = {"qfex": restarting.qfex(self.qfex), "dmex": restarting.dmex(self.dmex)}
        return Gateway(venues, self.credentials("gateway"), journal=self.folder / f"{name}.journal", ttl=TTL, name=name)

    @contextlib.asynccontextmanager
    async def remote(self, name, venue="qfex", **changes):
        """A strategy, as soon as its venue is well."""
        async with RemoteRouter(credentials=self.credentials(name, **changes)) as router:
            await until(lambda: venue in (health := router.health()) and health[venue].ok)
            yield router

    @contextlib.asynccontextmanager
    async def connection(self, name):
        found = Connection(self.credentials(name), name=name)
        try:
            await found.open()
            yield found
        finally:
            await found.close()

    def acted(self):
        """How many messages that change something QFEX has had."""
        return len(self.qfex.commands(*COMMANDS))


@contextlib.asynccontextmanager
async def running(folder):
    async with (
        nats_server(config=folder / "nats-server.conf") as server,
        QfexSimulator() as qfex,
        DmexSimulator() as dmex,
    ):
        site = Site(folder, server, qfex, dmex)
        async with site.gateway():
            yield site


@pytest.fixture
async def site(folder):
    async with running(folder) as found:
        yield found


@pytest.fixture
async def resting(site):
    """An address of an order that alpha has placed."""
    async with site.remote("alpha") as alpha:
        report = await alpha.submit(limit())
        assert report.outcome is Outcome.CONFIRMED
        return Cancel("qfex", report.order_id, symbol="AAPL-USD")


async def until(condition, timeout=10):
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - anything may make it true
            await asyncio.sleep(0.005)


@contextlib.contextmanager
def soon():
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SOON


async def heard(stream, *wanted):
    """All events until one is such, in a few words each."""
    found = []
    async with asyncio.timeout(10):
        while wanted not in found:
            event = await anext(stream)
            found.append((event.venue, event.exec_type, event.order_id))
    return found


async def refused(*calls):
    """Each is NOT_SENT and says why, and all of them are told at once."""
    with soon():
        for call in calls:
            came = await call
            for report in came if isinstance(came, list) else [came]:
                assert (report.outcome, "not authorised" in report.text) == (Outcome.NOT_SENT, True), report.text


async def unproven(router, *arguments, **options):
    """A cancel_all that is not allowed proves nothing and says why."""
    with soon():
        report = await router.cancel_all(*arguments, deadline=5, **options)
    assert not report.no_open_orders
    assert all("not authorised" in doubt.text for doubt in report.doubts)
    assert report.doubts


# -- what each may do


async def test_who_may_trade_does_everything(site):
    async with site.remote("alpha") as alpha:
        events = alpha.events()
        order = limit()
        placed = await alpha.submit(order)
        assert placed.outcome is Outcome.CONFIRMED
        assert [each.order_id for each in await alpha.open_orders("qfex")] == [placed.order_id]
        changed = await alpha.replace(order, price="151")
        assert changed.outcome is Outcome.CONFIRMED
        assert (await alpha.cancel(order)).outcome is Outcome.CONFIRMED
        assert (await alpha.submit(limit())).outcome is Outcome.CONFIRMED
        assert (await alpha.cancel_all()).no_open_orders
        assert not site.qfex.book
        assert await alpha.recovered(5) == []
        assert (await heard(events, "qfex", ExecType.CANCELED, placed.order_id))[0][1] is ExecType.NEW


async def test_who_may_cancel_cancels_and_settles_and_places_nothing(site, resting):
    async with site.remote("beta") as beta:
        events = beta.events()
        before = site.acted()
        await refused(beta.submit(limit()), beta.replace(resting, price="151"))
        assert site.acted() == before
        assert [each.order_id for each in await beta.open_orders("qfex")] == [resting.id]
        site.qfex.switches = Switches(mute=True)
        lost = await beta.cancel(resting, deadline=0.3)
        assert lost.outcome is Outcome.UNKNOWN
        site.qfex.switches = Switches()
        assert (await lost.settled(10)).outcome is Outcome.CONFIRMED
        assert await heard(events, "qfex", ExecType.ORDER_STATUS, resting.id)  # the venue was asked
        assert (await beta.cancel_all(scope="account")).no_open_orders


async def test_cancel_only_reaches_every_order_of_the_account(site, resting):
    """Rights are by venue: whose order it is, no subject says."""
    async with site.remote("beta") as beta:
        own = await beta.cancel_all()
        assert own.no_open_orders
        assert set(site.qfex.book) == {resting.id}  # "own" is nothing here
        swept = await beta.cancel_all(scope="account")
        assert [each.order_id for each in swept.affected] == [resting.id]
    assert not site.qfex.book


async def test_who_may_look_reads_and_hears_and_changes_nothing(site, resting):
    async with site.remote("gamma") as gamma:
        events = gamma.events()
        before = site.acted()
        await refused(
            gamma.submit(limit()),
            gamma.replace(resting, price="151"),
            gamma.cancel(resting),
            gamma.cancel("qfex", resting.id),
            gamma.cancel_many([resting] * 100),
        )
        await unproven(gamma)
        await unproven(gamma, "qfex", scope="account")
        assert site.acted() == before
        assert set(site.qfex.book) == {resting.id}
        assert [each.order_id for each in await gamma.open_orders("qfex")] == [resting.id]
        assert await gamma.recovered(5) == []
        async with site.remote("alpha") as alpha:
            assert (await alpha.cancel(resting)).outcome is Outcome.CONFIRMED
        assert await heard(events, "qfex", ExecType.CANCELED, resting.id)


async def test_another_venue_than_ones_own(site, resting):
    async with site.remote("delta", "dmex") as delta:
        before = site.acted()
        await refused(delta.submit(limit()), delta.replace(resting, price="151"), delta.cancel(resting))
        await unproven(delta, "qfex", scope="account")
        with soon(), pytest.raises(NotAuthorised, match="not authorised"):
            await delta.open_orders("qfex")
        assert site.acted() == before
        assert list(delta.health()) == ["dmex"]
        assert delta.events().troubles == {}
        assert (await delta.submit(restarting.future())).outcome is Outcome.CONFIRMED
        everywhere = await delta.cancel_all()
        assert list(everywhere.venues) == ["dmex"]
        assert everywhere.no_open_orders
    assert set(site.qfex.book) == {resting.id}


async def test_what_one_hears_of_events_is_of_its_own_venues(site):
    async with site.remote("delta", "dmex") as delta, site.remote("alpha") as alpha:
        own, more = delta.events(), delta.events()
        more.add("qfex")  # as if it had the right
        assert (await alpha.submit(limit())).outcome is Outcome.CONFIRMED
        placed = await delta.submit(restarting.future())
        assert placed.outcome is Outcome.CONFIRMED
        assert (await delta.cancel_all()).no_open_orders
        for events in (own, more):
            told = await heard(events, "dmex", ExecType.CANCELED, placed.order_id)
            assert {venue for venue, *_ in told} == {"dmex"}
        assert "not authorised" in more.troubles["qfex"]
        assert own.troubles == {}


# -- who gets in


@pytest.fixture
async def door(folder):
    """Without a gateway: who gets in does not depend on one."""
    async with nats_server(config=folder / "nats-server.conf") as server:
        yield Site(folder, server, None, None)


async def shut(site, error, words, **changes):
    """It does not get in, and hears why at once, without its seed. Somebody with the right file does."""
    with soon(), pytest.raises(error, match=words) as told:
        async with RemoteRouter(credentials=site.credentials("alpha", **changes)):
            pass
    assert not any(seed in said(told.value) for seed in seeds(site.folder))
    async with RemoteRouter(credentials=site.credentials("alpha")) as router:
        assert (await router.cancel("qfex", "1")).text == "qfex: no gateway is there"


async def test_an_unknown_nkey(door):
    stranger = nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()
    await shut(door, NotAuthorised, "does not let in 'alpha' with this nkey", seed=stranger)


async def test_no_credentials(door):
    await shut(door, NotAuthorised, "without credentials", seed=None)


async def test_somebody_elses_name(door):
    await shut(door, NotAuthorised, "not those of 'beta'", strategy="beta")


async def test_a_server_that_nobody_vouches_for(door, tmp_path):
    (tmp_path / "other.pem").write_bytes(made("127.0.0.1").authority)
    await shut(door, GatewayUnreachable, "can't be trusted", ca=tmp_path / "other.pem")


async def test_in_the_clear(door):
    await shut(door, GatewayUnreachable, "wants TLS", url=door.server.url.replace("tls://", "nats://"))


def test_in_the_clear_to_another_machine_is_not_even_tried():
    with pytest.raises(ValueError, match="in the clear, only to this machine"):
        RemoteRouter("nats://nats.example:4222")


async def test_a_credential_is_changed_while_the_server_runs(site, folder):
    """As docs/deploy.md says: the new key in the old one's place, and a reload."""
    spare = folder.parent / "spare"
    set_up(spare, Plan(venues=["qfex", "dmex"], strategies=granted(WHO)))
    old, new = (public(each / "alpha.toml") for each in (folder, spare))
    path = folder / "nats-server.conf"
    async with site.remote("alpha") as former, site.remote("beta") as beta:
        path.write_text(path.read_text().replace(old, new))
        site.server.process.send_signal(signal.SIGHUP)
        await until(lambda: not former._connection.is_up)
        report = await former.submit(limit())
        assert report.outcome is Outcome.NOT_SENT
        with pytest.raises(NotAuthorised):
            await RemoteRouter(credentials=site.credentials("alpha")).open()
        async with site.remote("alpha", seed=Credentials.read(spare / "alpha.toml").seed) as alpha:
            assert (await alpha.submit(limit())).outcome is Outcome.CONFIRMED
        assert (await beta.cancel_all(scope="account")).no_open_orders


# -- what is forged


def asked(tenure, name):
    """What everybody may ask, and of whom."""
    command = wire.OpenOrders(op="0" * 32, tenure=tenure, deadline=time.time() + 5)
    stream = subjects.stream("qfex")
    empty = (subjects.WHO, "$SRV.PING", "$SRV.INFO.venue-router", f"{API}.STREAM.INFO.{stream}")
    return [(subject, b"") for subject in empty] + [
        (subjects.command("qfex", "open_orders", name, tenure), wire.encode(command))
    ]


async def pulled(connection):
    """The question for what happened last."""
    stream, body = subjects.stream("qfex"), {"name": "own", "ack_policy": "none", "deliver_policy": "all"}
    making = json.dumps({"stream_name": stream, "config": body}).encode()
    begun, answer = time.monotonic(), {"error": "not asked yet"}
    while "error" in answer:  # the stream is made with the first that happens
        assert time.monotonic() - begun < 10, answer
        answer = json.loads(await connection.request(f"{API}.CONSUMER.CREATE.{stream}.own", making, timeout=5))
    return [(f"{API}.CONSUMER.MSG.NEXT.{stream}.own", b"1")]


async def test_answers_sent_to_where_owners_announce_themselves_mislead_nobody(site):
    """A question says where its answer goes, and no right is needed for that: so beta has true answers come as announcements."""
    text = wire.encode(wire.Standing(gateway="forged", now=1.0, ttl=9.0))  # as long as an order's name may be
    target = subjects.owner("qfex")
    async with (
        site.gateway("two"),
        site.remote("alpha") as alpha,
        site.connection("alpha") as listener,
        site.connection("beta") as beta,
    ):
        seen = []

        async def hear(message):
            seen.append(message.data)

        await listener.client.subscribe(target, cb=hear)
        await listener.client.flush()
        placed = await alpha.submit(limit(client_order_id=text.decode()))
        assert placed.outcome is Outcome.CONFIRMED
        tenure = alpha._directory.tenure("qfex")
        words = (b'"gateway":"two"', b'"says":"listed"', b'"journal":', b"forged")
        async with believing(alpha) as believed:
            for subject, body in [*asked(tenure, "beta"), *await pulled(beta)] * 20:
                beta.send(subject, body, target)
            beta.send(target, text)  # which the server does not let through
            await until(lambda: all(any(word in each for each in seen) for word in words))
            with soon():
                assert (await alpha.cancel("qfex", placed.order_id, symbol="AAPL-USD")).outcome is Outcome.CONFIRMED
        assert believed == {(tenure, True)}
        assert set(alpha._directory._gateways) == {"one", "two"}
        assert alpha.health()["qfex"].ok


@contextlib.asynccontextmanager
async def believing(router):
    """The owners that it believes in meanwhile, and whether it would send them anything."""
    found = set()

    async def look():
        while True:
            found.add((router._directory.tenure("qfex"), router._directory.owner("qfex") is not None))
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    try:
        yield found
    finally:
        looking.cancel()


async def test_an_answer_is_no_command_of_another(folder):
    """The same into the subjects of commands that the asker may not give: it comes to whoever listens there, and no gateway does."""
    async with (
        spying(folder) as (site, wired),
        site.remote("alpha") as alpha,
        site.remote("gamma") as watching,
        site.connection("gamma") as gamma,
    ):
        placed = await alpha.submit(limit())
        tenure, before = watching._directory.tenure("qfex"), site.acted()
        targets = [
            subjects.command("qfex", verb, name, tenure) for verb in subjects.VERBS for name in ("alpha", "gamma")
        ]
        for target, (subject, body) in product(targets, [*asked(tenure, "gamma"), *await pulled(gamma)]):
            gamma.send(subject, body, target)
        heads = [(target.encode(), word) for target in targets for word in (b'"gateway":', b'"says":"listed"')]
        await until(lambda: all(any(among(each, *head) for each in wired["STRATEGIES"]) for head in heads))
        with soon():
            assert [each.order_id for each in await watching.open_orders("qfex")] == [placed.order_id]
        assert site.acted() == before
        assert not any(among(each, *head) for each in wired["GATEWAYS"] for head in heads)
        assert (await alpha.cancel_all()).no_open_orders
        sweep = subjects.command("qfex", "cancel_all", "alpha", tenure).encode()
        assert any(among(each, sweep, b'"verb":"cancel_all"') for each in wired["GATEWAYS"])


def among(message, subject, word):
    return message.startswith(subject) and word in message


# -- secrets


def seeds(folder):
    return [Credentials.read(folder / f"{name}.toml").seed.reveal() for name in ("gateway", *NAMES)]


def public(path):
    seed = Credentials.read(path).seed.reveal()
    return nkeys.from_seed(bytearray(seed.encode())).public_key.decode()


def said(error):
    """Whatever a careless program might do with it."""
    return "".join([str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)])


ACCOUNTS = ("GATEWAYS", "STRATEGIES")


def with_spies(path):
    """Let in somebody more to each account, who may hear all of it. Their seeds."""
    text, found = path.read_text(), {}
    for number, account in enumerate(ACCOUNTS, 1):
        seed = found[account] = nkeys.encode_seed(bytes([number]) * 32, nkeys.PREFIX_BYTE_USER).decode()
        key = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
        head, mark, rest = text.partition(f"  {account} {{")
        assert mark
        text = f"{head}{mark}{rest.replace('users: [', f'users: [ {{ nkey: {key} }}', 1)}"
    path.write_text(text)
    return found


@contextlib.asynccontextmanager
async def spying(folder):
    """The site, and everything that each account carries: subject, headers and body."""
    spies, wired = with_spies(folder / "nats-server.conf"), {account: [] for account in ACCOUNTS}
    trusted = ssl.create_default_context(cafile=folder / "ca.pem")

    async def hear(account, message):
        wired[account].append(message.subject.encode() + repr(message.headers).encode() + message.data)

    async with asyncio.timeout(60), running(folder) as site, contextlib.AsyncExitStack() as stack:
        for account, seed in spies.items():
            client = await nats.connect(site.server.url, nkeys_seed_str=seed, tls=trusted, allow_reconnect=False)
            stack.push_async_callback(client.close)
            await client.subscribe(">", cb=partial(hear, account))
            await client.flush()
        yield site, wired


async def test_no_key_and_no_seed_is_logged_raised_reported_or_sent(folder, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    told = []
    async with spying(folder) as (site, wired):
        secrets = [site.qfex.secret_key, site.dmex.private_key.removeprefix("0x"), *seeds(folder)]
        async with site.remote("alpha") as alpha, site.remote("gamma") as gamma:
            events = alpha.events("main")
            order = limit(client_order_id="canary")
            told += [await alpha.submit(order), await alpha.replace(order, price="151"), await alpha.cancel(order)]
            told += [await alpha.open_orders("qfex"), await alpha.cancel_all(), await alpha.recovered(5)]
            told += [
                await gamma.submit(limit()),
                await gamma.cancel("qfex", "1"),
                await gamma.cancel_all("qfex", deadline=2),
            ]
            told += [
                await heard(events, "qfex", ExecType.CANCELED, told[0].order_id),
                alpha.health(),
                alpha,
                gamma,
                site.credentials("alpha"),
            ]
            site.qfex.switches = Switches(hang_up=True)
            lost = await alpha.submit(limit(), deadline=0.5)
            site.qfex.switches = Switches()
            told += [lost, await lost.settled(10)]
            for call in (gamma.open_orders("dmex"), gamma.open_orders("nowhere")):
                with pytest.raises((NotAuthorised, UnknownVenue)) as raised:
                    await call
                told.append(said(raised.value))
            async with site.connection("alpha") as other:
                for verb in ("PING", "INFO", "STATS"):
                    told.append(await other.request(f"$SRV.{verb}.venue-router", b"", timeout=5))
        for changes in ({"seed": secrets[-1], "strategy": "beta"}, {"ca": None}):
            with pytest.raises((NotAuthorised, GatewayUnreachable)) as raised:
                await RemoteRouter(credentials=site.credentials("alpha", **changes)).open()
            told.append(said(raised.value))
        await until(lambda: any(b"router.event.qfex" in each and b"canary" in each for each in wired["GATEWAYS"]))
    shown = "\n".join(f"{each}\n{each!r}" for each in told)
    shown += json.dumps([attrs.asdict(each) for each in told if attrs.has(type(each))], default=repr)
    kept = [path.read_bytes() for path in (folder / "jetstream").rglob("*") if path.is_file()]
    outs = capfd.readouterr()
    places = {
        "logs": caplog.text.encode(),
        "shown": shown.encode(),
        "wire": b"\n".join([*wired["GATEWAYS"], *wired["STRATEGIES"]]),
        "kept": b"\n".join(kept),
        "printed": (outs.out + outs.err).encode(),
    }
    assert all(b"canary" in places[name] for name in ("shown", "wire", "kept"))
    assert b"router.cluster" in places["logs"]
    for subject in (b"router.cmd.qfex.submit.alpha.", b"router.owner.qfex", b"$KV.", b"_INBOX.alpha."):
        assert subject in places["wire"], subject
    for name, place in places.items():
        assert not any(secret.encode() in place for secret in secrets), name
