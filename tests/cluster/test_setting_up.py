"""`router gateway init`: what it writes works and is nobody else's, and it writes over nothing."""

import asyncio
import stat

import pytest
from attrs import evolve
from click.testing import CliRunner
from nats import errors

from router.cli.exits import Failure
from router.cli.gateway import command
from router.cluster import subjects
from router.cluster.broker.connection import Connection
from router.cluster.broker.credentials import Credentials
from router.cluster.setup.rights import Role, of_gateway, of_strategy
from router.cluster.setup.setting_up import Plan, granted, set_up

from .servers import Server, free_ports, nats_server

ROLES = ["alpha=trade:qfex,dmex", "beta=cancel-only:qfex", "gamma=view:qfex"]
FILES = {
    *("ca.pem", "ca-key.pem", "server.pem", "server-key.pem", "nats-server.conf"),
    *("gateway.toml", "alpha.toml", "beta.toml", "gamma.toml"),
}


def plan(**changes):
    return Plan(**({"venues": ["qfex", "dmex"], "strategies": granted(ROLES)} | changes))


def init(folder, *more):
    words = ["init", str(folder), "--venue", "qfex", "--venue", "dmex"]
    words += [word for role in ROLES for word in ("--strategy", role)]
    return CliRunner().invoke(command, [*words, *more], catch_exceptions=False)


def test_the_command_writes_it_all_and_says_what_is_next(tmp_path):
    folder = tmp_path / "new" / "folder"
    done = init(folder)
    assert done.exit_code == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert all(f"wrote {folder / name}\n" in done.output for name in FILES)
    assert f"nats-server -c {folder / 'nats-server.conf'}" in done.output
    assert "--credentials" in done.output
    assert "The certificates are good until 20" in done.output
    assert Credentials.read(folder / "alpha.toml").seed.reveal() not in done.output


def test_nobody_else_may_read_any_of_it(tmp_path):
    set_up(tmp_path / "new", plan())
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()} == {0o600}


@pytest.mark.parametrize("name", sorted(FILES))
def test_nothing_is_written_over_and_then_nothing_is_written(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(Failure, match=name):
        init(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_all_that_is_in_the_way_is_named_at_once(tmp_path):
    for name in ("beta.toml", "ca.pem"):
        (tmp_path / name).touch()
    with pytest.raises(Failure, match=r"ca\.pem, .*beta\.toml is there already"):
        init(tmp_path)


def test_what_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Credentials, "written", full)
    with pytest.raises(Failure, match="No space left"):
        init(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_no_two_have_a_seed_or_a_key_in_common(tmp_path):
    for folder in ("one", "two"):
        set_up(tmp_path / folder, plan())
    seeds = {Credentials.read(path).seed.reveal() for path in tmp_path.glob("*/*.toml")}
    assert len(seeds) == 8
    assert len({path.read_bytes() for path in tmp_path.glob("*/*key.pem")}) == 4


def test_no_seed_is_in_the_servers_configuration(tmp_path):
    set_up(tmp_path, plan())
    text = (tmp_path / "nats-server.conf").read_text()
    assert not any(Credentials.read(path).seed.reveal() in text for path in tmp_path.glob("*.toml"))
    assert "no_auth_user" not in text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("alpha", "NAME=ROLE:VENUE"),
        ("alpha=trade", "NAME=ROLE:VENUE"),
        ("alpha=own:qfex", "trade, cancel-only, view"),
        ("=trade:qfex", "NAME=ROLE:VENUE"),
        ("alpha=view:qfex", "has the role trade at qfex already"),
    ],
)
def test_roles_that_say_nothing_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        granted(["alpha=trade:qfex", given])


def test_a_strategy_may_have_several_roles():
    assert granted(["a=trade:x", "a=view:y,z"]) == {"a": {"x": Role.TRADE, "y": Role.VIEW, "z": Role.VIEW}}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"venues": []}, "--venue"),
        ({"venues": ["a.b"]}, "venue was 'a.b'"),
        ({"venues": ["qfex"]}, "no --venue names"),
        ({"strategies": granted(["gateway=trade:qfex"])}, "the name of the gateways"),
        ({"strategies": granted(["a b=trade:qfex"])}, "strategy was 'a b'"),
        ({"strategies": granted(["a=trade:>"])}, "no --venue names"),
        ({"host": 'x"\n'}, "host was"),
        ({"host": "h:1/"}, "host was"),
        ({"port": 0}, "port was 0"),
        ({"port": 65_000, "nodes": 3}, "port was 65000"),
        ({"nodes": 2}, "cluster was 2"),
        ({"nodes": 0}, "cluster was 0"),
        ({"resume": ["a=b"]}, "resume was"),
    ],
)
def test_a_plan_that_can_not_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        plan(**changes)


def test_a_mistake_is_told_as_one_line_and_usage(tmp_path):
    with pytest.raises(Failure, match="the ports up to 65536 must be") as told:
        init(tmp_path / "new", "--port", "65536")
    assert told.value.code == 2
    assert not (tmp_path / "new").exists()


def test_permissions_name_the_strategy_in_each_command_and_in_its_inbox():
    found = of_strategy("alpha", {"qfex": Role.TRADE})
    commands = [subjects.addressed(each) for each in found.publish if each.startswith("router.cmd.")]
    assert {(each.venue, each.strategy, each.tenure) for each in commands} == {("qfex", "alpha", "*")}
    assert set(found.subscribe) == {"_INBOX.alpha.>", "router.owner.qfex"}
    assert not any(
        each.startswith((">", "*", "_INBOX", "$KV", "router.owner", "router.event")) for each in found.publish
    )
    assert not any("DELETE" in each or "PURGE" in each for each in (*found.publish, *of_gateway().publish))


async def test_the_server_starts_and_lets_everybody_in(tmp_path):
    set_up(tmp_path, plan(host="localhost"))
    async with nats_server(config=tmp_path / "nats-server.conf") as server:
        for name in ("gateway", "alpha", "beta", "gamma"):
            url = server.url.replace("127.0.0.1", "localhost")
            connection = Connection(evolve(Credentials.read(tmp_path / f"{name}.toml"), url=url), name=name)
            await connection.open()
            assert connection.is_up
            await connection.close()


async def test_three_nodes_know_each_other_by_certificates(tmp_path):
    """On the ports that it writes: 4222 and above could be anybody's, so they are moved to free ones."""
    set_up(tmp_path, plan(nodes=3))
    ports = {str(port): str(free) for port, free in zip(range(6222, 6225), free_ports(3), strict=True)}
    nodes = []
    for number in (1, 2, 3):
        config = tmp_path / f"nats-server-{number}.conf"
        text = config.read_text()
        for port, free in ports.items():
            text = text.replace(port, free)
        config.write_text(text)
        nodes.append(Server(tmp_path, config=config, name=f"n{number}"))
    try:
        for node in nodes:
            await node.start()
        urls = [node.url for node in nodes]
        connection = Connection(evolve(Credentials.read(tmp_path / "gateway.toml"), url=urls), name="gateway")
        await connection.open()
        await _stored(connection)
        await connection.close()
        assert len(Credentials.read(tmp_path / "alpha.toml").url) == 3
    finally:
        for node in nodes:
            await node.kill()


async def _stored(connection):
    """On all three of them, as soon as they have found each other."""
    async with asyncio.timeout(20):
        while True:
            try:
                bucket = await connection.client.jetstream(timeout=1).create_key_value(
                    bucket=subjects.BUCKET, history=1, replicas=3
                )
                await bucket.put("qfex", b"lease")
            except (errors.Error, TimeoutError):
                await asyncio.sleep(0.05)
            else:
                return
