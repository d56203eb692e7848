"""router.toml: what is read from it, the secrets it refers to, and every mistake told with its key, its value and the fix."""

import logging
import os
import re
import socket
import subprocess
import sys
import textwrap
import tomllib
import traceback
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.b2trader import B2Trader
from adapters.ccxt_bridge import Ccxt
from adapters.dmex import Dmex
from adapters.qfex import Qfex
from router import config
from router.config.references import MAX_SECRET
from router.errors import ConfigError, UnknownVenue
from router.pacing import Budget
from router.redact import Secret

DOCS = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
CANARY = "canary-0123456789-CANARY+/=="
SHORT = "hunter2"
FORMS = '{ file = "PATH" }, { credential = "NAME" } or { env = "VARIABLE" }'
KEY = "ca" * 32
QFEX = 'public_key = "qfex_pub_1"\nsecret_key = { env = "QFEX_SECRET" }\n'


@pytest.fixture
def write(tmp_path):
    """Writes router.toml and returns its path."""

    def write(text, name="router.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return path

    return write


@pytest.fixture
def mistakes(write):
    """The mistakes of a text, those of load() or else those of adapters(); without its path, which each line has."""

    def mistakes(text):
        path = write(text)
        with pytest.raises(ConfigError) as caught:
            config.load(path).adapters()
        error = caught.value
        assert str(error) == "\n".join(f"{path}: {each}" for each in error.mistakes)
        assert error.path == str(path)
        shown = [str(error), repr(error), *traceback.format_exception(error), repr(vars(error))]
        assert not [each for each in shown if CANARY in each or CANARY[7:17] in each]
        assert error.__context__ is None  # nothing that has seen the text or a secret hangs on
        assert error.__cause__ is None
        assert not [each for each in error.mistakes if len(each) > 900 or not each.isprintable()]
        return list(error.mistakes)

    return mistakes


@pytest.fixture
def secret(tmp_path):
    """Writes a secret into a file of mode 0600 and returns its path."""

    def secret(text, name="secret", mode=0o600):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return secret


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs an adapter of somebody else's."""

    def package(name, source):
        monkeypatch.delitem(sys.modules, f"{name}_venue", raising=False)
        site = tmp_path / "site"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[router.adapters]\n{name} = {name}_venue:Venue\n")
        (site / f"{name}_venue.py").write_text(textwrap.dedent(source))
        monkeypatch.syspath_prepend(str(site))

    return package


# -- what is read


def test_the_file_of_the_documentation_loads_as_printed(tmp_path, write, secret, monkeypatch):
    text = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)[0]
    path = write(text)
    loaded = config.load(path)
    assert list(loaded.venues) == ["qfex", "broker", "dmex", "kraken"]
    assert (loaded.journal, loaded.durability, loaded.on_unknown, loaded.strict) == (
        tmp_path / "router.journal",
        "full",
        "leave",
        True,
    )
    (tmp_path / "secrets").mkdir()
    secret("qfex_secret_1\n", "secrets/qfex")
    secret("kraken key", "secrets/kraken.key")
    secret("a3Jha2Vu", "secrets/kraken.secret")
    secret("offline", "b2trader", mode=0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("DMEX_PRIVATE_KEY", KEY)
    built = loaded.adapters()
    assert {name: type(each) for name, each in built.items()} == {
        "qfex": Qfex,
        "broker": B2Trader,
        "dmex": Dmex,
        "kraken": Ccxt,
    }
    assert [each.deadline for each in built.values()] == [3.0, 4.0, 4.0, 4.0]
    assert built["broker"].spec.budget == Budget(10, 1)
    assert built["broker"].spec.http_url == "https://api.broker.example"
    assert set(built["qfex"]._codec.secrets()) - {""} == {"qfex_secret_1"}


def test_every_key_of_the_top_is_in_the_documentation():
    listed = re.findall(r"^\| `(\w+)` \|", DOCS.read_text().split("## Of a venue")[0], re.MULTILINE)
    assert sorted(listed) == sorted(["venues", "journal", "durability", "on_unknown", "strict", "deadline"])


def test_the_least_file_has_the_defaults(write):
    loaded = config.load(write(f"[venues.qfex]\n{QFEX}"))
    assert (loaded.journal, loaded.durability, loaded.on_unknown, loaded.strict) == (None, "full", "leave", True)
    assert loaded.venues["qfex"].adapter == "qfex"


def test_all_that_can_be_set_of_each_adapter(write, monkeypatch, secret):
    monkeypatch.setenv("A_SECRET", "x" * 40)
    secret(KEY, "key")
    loaded = config.load(
        write("""
        strict = false
        on_unknown = "kill"
        durability = "process"
        journal = false
        [venues.one]
        adapter = "qfex"
        url = "wss://trade.qfex.io/"
        account = "sub"
        jwt.env = "A_SECRET"
        limits.share = 0.25
        cancel_on_disconnect = true
        on_exit = "cancel"
        [venues.two]
        adapter = "b2trader"
        base_url = "http://127.0.0.1:1"
        account_id = "a1"
        token = { env = "A_SECRET" }
        share = 1
        [venues.two.limits]
        rate = 10
        per = 2
        [venues.three]
        adapter = "dmex"
        url = "ws://localhost:1/ws"
        rest_url = "http://localhost:1"
        private_key = { file = "key" }
        limits = { rate = 5 }
        """)
    )
    assert (loaded.journal, loaded.durability, loaded.on_unknown, loaded.strict) == (None, "process", "kill", False)
    built = loaded.adapters()
    codec = built["one"]._codec
    assert (codec.spec.url, codec.account_id, codec.cancel_on_disconnect, codec.on_exit) == (
        "wss://trade.qfex.io/",
        "sub",
        True,
        "cancel",
    )
    assert built["one"]._pacer.left(0.0)["cancel"] == 3000.0
    assert (built["two"].spec.budget, built["three"].spec.budget) == (Budget(10, 2), Budget(5, 1))
    assert built["three"].spec.http_url == "http://localhost:1"


def test_paths_begin_beside_the_file(write, tmp_path, monkeypatch):
    monkeypatch.setenv("P", "password")
    monkeypatch.setenv("HOME", "/home/of-nobody")
    text = '[venues.dmex]\nkeystore = "keys/store.json"\npassword = { env = "P" }'
    write(f'journal = "sub/j"\n{text}')
    monkeypatch.chdir("/")
    loaded = config.load(tmp_path / "router.toml")
    assert loaded.journal == tmp_path / "sub/j"
    assert loaded.venues["dmex"].settings["keystore"] == tmp_path / "keys/store.json"
    assert config.load(write(f'journal = "/var/j"\n{text}')).journal == Path("/var/j")
    assert config.load(write(f'journal = "~/j"\n{text}')).journal == Path("/home/of-nobody/j")
    with pytest.raises(
        ConfigError, match=rf"venues.dmex can't be used: keystore {tmp_path}/keys/store.json: No such file"
    ):
        loaded.adapters()


def test_a_venue_may_have_any_printable_name_and_an_adapter_several_venues(write, monkeypatch):
    monkeypatch.setenv("QFEX_SECRET", "s" * 20)
    names = ["main desk", "a.b", "Börse", "x" * 64]
    loaded = config.load(write("".join(f'[venues."{name}"]\nadapter = "qfex"\n{QFEX}' for name in names)))
    assert list(loaded.adapters()) == names


def test_a_byte_order_mark_and_windows_lines_are_no_mistake(write):
    text = f"strict = false\n[venues.qfex]\n{QFEX}".replace("\n", "\r\n")
    assert config.load(write(b"\xef\xbb\xbf" + text.encode())).strict is False


def test_find_takes_the_variable_then_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ROUTER_CONFIG", raising=False)
    assert config.find() is None
    (tmp_path / "router.toml").touch()
    assert config.find() == Path("router.toml")
    monkeypatch.setenv("ROUTER_CONFIG", "elsewhere.toml")
    assert config.find() == Path("elsewhere.toml")
    monkeypatch.setenv("ROUTER_CONFIG", "")
    assert config.find() == Path("router.toml")


def test_only_the_named_venues_are_built_and_only_their_secrets_are_read(write, monkeypatch, tmp_path):
    text = """
        [venues.qfex]
        jwt = { env = "ONE_JWT" }
        [venues.dmex]
        private_key = { file = "missing" }
        [venues.b2trader]
        url = "https://broker.example"
        account = "a1"
        token = { credential = "missing" }
        """
    loaded = config.load(write(text))
    monkeypatch.setenv("ONE_JWT", "jwt-0123456789")
    assert list(loaded.adapters(["qfex"])) == ["qfex"]
    assert list(loaded.adapters("qfex")) == ["qfex"]
    assert loaded.adapters([]) == {}
    with pytest.raises(UnknownVenue, match=r"^venue was 'qfx'; known: b2trader, dmex, qfex$"):
        loaded.adapters(["qfex", "qfx"])
    with pytest.raises(ConfigError) as caught:
        loaded.adapters()
    assert [each.split(" refers")[0] for each in caught.value.mistakes] == [
        "venues.dmex.private_key",
        "venues.b2trader.token",
    ]


def test_load_reads_no_secret(write, tmp_path, monkeypatch):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    loaded = config.load(write('[venues.qfex]\njwt = { file = "fifo" }'))
    assert "fifo" not in repr(loaded)
    assert repr(loaded.venues["qfex"]) == "VenueConfig(name='qfex', adapter='qfex', settings=<jwt>)"
    with pytest.raises(TypeError):
        loaded.venues["qfex"] = None


def test_a_secret_is_sealed_until_the_adapter_is_built(write, monkeypatch):
    monkeypatch.setenv("QFEX_SECRET", CANARY)
    venue = config.load(write(f"[venues.qfex]\n{QFEX}")).venues["qfex"]
    resolved = venue.resolved(config.Mistakes(), os.environ)
    assert isinstance(resolved["secret_key"], Secret)
    assert CANARY not in f"{resolved!r} {venue!r} {venue.settings!r}"


# -- ten mistakes


def test_ten_mistakes_are_told_at_once(mistakes):
    found = mistakes(f"""
        durability = "ful"
        strict = "yes"
        journl = "x.journal"
        [venues.qfex]
        public_key = "qfex_pub_1"
        secret_key = "{CANARY}"
        deadline = "3"
        on_exit = "levae"
        limits = {{ shar = 0.5 }}
        [venues.b2trader]
        url = "http://broker.example"
        token = {{ evn = "{CANARY}" }}
        [venues.okx]
        adapter = "cxct"
        """)
    out = (
        'write secret_key = { file = "qfex-secret_key" }, a file of mode 0600 with nothing else in it, '
        'secret_key = { credential = "qfex-secret_key" } under systemd, or secret_key = { env = "QFEX_SECRET_KEY" }'
    )
    assert found == [
        'journl is not a known key (its value: "x.journal"); did you mean journal?',
        f"venues.qfex.secret_key is a secret and stands in the file itself (as text); take it out and {out}",
        'venues.qfex.deadline was "3"; it is a number of seconds above 0, without quotes: deadline = 3',
        'venues.qfex.on_exit was "levae"; it is one of "leave", "cancel" (did you mean "leave"?)',
        "venues.qfex.limits.shar is not a known key (its value: 0.5); did you mean share?",
        'venues.b2trader.url was "http://broker.example"; it must be https:// (in the clear only to this machine)',
        "venues.b2trader.token.evn is not a known key (its value: not shown, it may be a secret); did you mean env?",
        'venues.b2trader.account is missing; the adapter needs account = ...: it is text, in quotes ("...")',
        (
            'venues.okx.adapter was "cxct"; no such adapter is installed; did you mean "ccxt"? '
            "installed are: b2trader, ccxt, dmex, qfex"
        ),
        'durability was "ful"; it is one of "full", "process" (did you mean "full"?)',
        'strict was "yes"; it is true or false, without quotes',
    ]


SECONDS = "it is a number of seconds above 0, without quotes"
TOP = [  # of the top: the text, and the one mistake
    ("deadline = '3'", f'deadline was "3"; {SECONDS}: deadline = 3'),
    ("deadline = true", f"deadline was true; {SECONDS}: deadline = 3"),
    ("deadline = 0", f"deadline was 0; {SECONDS}: deadline = 3"),
    ("deadline = -2.5", f"deadline was -2.5; {SECONDS}: deadline = 3"),
    ("deadline = nan", f"deadline was nan; {SECONDS}: deadline = 3"),
    ("deadline = inf", f"deadline was inf; {SECONDS}: deadline = 3"),
    (f"deadline = 0x{'f' * 400}", f"deadline was a whole number of 1600 bits; {SECONDS}: deadline = 3"),
    ("deadline = 2026-01-01", f"deadline was 2026-01-01; {SECONDS}: deadline = 3"),
    ("deadline = [3]", f"deadline was [3]; {SECONDS}: deadline = 3"),
    ("deadline = { a = 1 }", f"deadline was a table (a); {SECONDS}: deadline = 3"),
    ("deadlines = 3", "deadlines is not a known key (its value: 3); did you mean deadline?"),
    ("strict = 1", "strict was 1; it is true or false, without quotes"),
    ('strict = "true"', 'strict was "true"; it is true or false, without quotes'),
    ('on_unknown = "keep"', 'on_unknown was "keep"; it is one of "leave", "kill"'),
    ('on-unknown = "kill"', 'on-unknown is not a known key (its value: "kill"); did you mean on_unknown?'),
    ("on_unknown = true", 'on_unknown was true; it is one of "leave", "kill"'),
    ('durability = "FULL"', 'durability was "FULL"; it is one of "full", "process" (did you mean "full"?)'),
    ('durability = ["full"]', 'durability was ["full"]; it is one of "full", "process"'),
    (
        "journal = true",
        'journal was true; it is a path in quotes: journal = "router.journal"; or false, for no journal',
    ),
    ('journal = ""', 'journal was ""; it is a path in quotes: journal = "router.journal"; or false, for no journal'),
    (
        'journal = "a\\u0000b"',
        'journal was "a\\x00b"; it is a path in quotes: journal = "router.journal"; or false, for no journal',
    ),
    (
        "verbose = true",
        (
            "verbose is not a known key (its value: true); the keys at the top are: venues, journal, durability, on_unknown, "
            "strict, deadline"
        ),
    ),
    (
        'url = "wss://trade.qfex.com/"',
        (
            "url is not a known key (its value: \"wss://trade.qfex.com/\"); a venue's setting stands below the venue's "
            "header, for example [venues.qfex]"
        ),
    ),
    (
        f'secret_key = "{CANARY}"',
        (
            "secret_key is not a known key (its value: not shown, it may be secret); a venue's setting stands below the "
            "venue's header, for example [venues.qfex]"
        ),
    ),
    ('"a\\nb" = 1', None),
]


@pytest.mark.parametrize(("text", "mistake"), TOP)
def test_each_mistake_at_the_top(mistakes, text, mistake):
    (found,) = mistakes(f"{text}\n[venues.qfex]\n{QFEX}")
    if mistake is None:
        assert found.startswith('"a\\nb" is not a known key (its value: 1); ')
    else:
        assert found == mistake


HEADER = "a setting stands below the header of its venue, which has the venue's name: [venues.qfex]"
TABLES = [  # the whole file, and the one mistake
    ("", "venues is missing: there is no venue; write a header, for example [venues.qfex], and its settings below it"),
    (
        "[venues]",
        "venues is missing: there is no venue; write a header, for example [venues.qfex], and its settings below it",
    ),
    (
        "venues = 3",
        "venues was 3; it is a table of tables; write a header for each venue, with one pair of brackets: [venues.qfex]",
    ),
    (
        "[[venues]]\nadapter = 'qfex'",
        "venues was [...]; it is a table of tables; write a header for each venue, with one pair of brackets: [venues.qfex]",
    ),
    ("[venues]\nadapter = 'qfex'", f"venues.adapter is text and not a table; {HEADER}"),
    (f"[venues]\nsecret_key = '{CANARY}'", f"venues.secret_key is text and not a table; {HEADER}"),
    (
        f"[venues]\nmain = '{CANARY}'",
        "venues.main is text and not a table; write its settings below the header [venues.main]",
    ),
    (
        "[[venues.qfex]]\njwt.env = 'A'",
        "venues.qfex is a list and not a table; write its settings below the header [venues.qfex]",
    ),
    (
        '[venues.""]\nadapter = "qfex"\njwt.env = "A"',
        'venues."" is no name for a venue; it is 1 to 64 printable characters: [venues.qfex]',
    ),
    (
        f'[venues.{"x" * 65}]\nadapter = "qfex"\njwt.env = "A"',
        f'venues."{"x" * 64}..." is no name for a venue; it is 1 to 64 printable characters: [venues.qfex]',
    ),
    (
        '[venues."a\\u001bb"]\nadapter = "qfex"\njwt.env = "A"',
        'venues."a\\x1bb" is no name for a venue; it is 1 to 64 printable characters: [venues.qfex]',
    ),
    (
        "[venues.qfx]\njwt.env = 'A'",
        (
            'venues.qfx has no adapter, and none is called "qfx"; write adapter = "qfex" '
            "(installed are: b2trader, ccxt, dmex, qfex)"
        ),
    ),
    (
        "[venues.main]\nadapter = 3",
        "venues.main.adapter was 3; it is the name of an adapter, in quotes; installed are: b2trader, ccxt, dmex, qfex",
    ),
    (
        "[venues.main]\nadapter = 'Q-FEX'",
        (
            'venues.main.adapter was "Q-FEX"; no such adapter is installed; did you mean "qfex"? installed are: b2trader, '
            "ccxt, dmex, qfex"
        ),
    ),
]


@pytest.mark.parametrize(("text", "mistake"), TABLES)
def test_each_mistake_of_the_tables(mistakes, text, mistake):
    assert mistakes(text) == [mistake]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            f"[venue.qfex]\n{QFEX}",
            "venue is not a known key (its value: a table); did you mean venues? The header of a",
        ),
        (f"[qfex]\n{QFEX}", "qfex is not a known key (its value: a table); the header of a venue is [venues.qfex]"),
    ],
)
def test_a_header_without_venues_is_told_as_such(mistakes, text, mistake):
    found = mistakes(text)
    assert found[0].startswith(mistake)
    assert found[1].startswith("venues is missing")


B2 = 'url = "https://b.example"\naccount = "a1"\ntoken.env = "A_TOKEN"'
LIMITS = "limits = { rate = 10, per = 1.0, share = 0.5 }"
REFUSED = "is a secret and stands in the file itself"
VENUES = [  # a venue's adapter and table, and how the one mistake begins after "venues.NAME"
    ("qfex", "deadline = 1e400\njwt.env='A'", f".deadline was inf; {SECONDS}"),
    ("qfex", "deadlin = 3\njwt.env='A'", ".deadlin is not a known key (its value: 3); did you mean deadline?"),
    ("qfex", "timeout = 3\njwt.env='A'", ".timeout is not a known key (its value: 3); did you mean deadline?"),
    (
        "qfex",
        "publicKey = 'p'\njwt.env='A'",
        ".publicKey is not a known key (its value: not shown, it may be secret); did you mean public_key?",
    ),
    (
        "qfex",
        "colour = 'red'\njwt.env='A'",
        '.colour is not a known key (its value: "red"); the keys of this venue are: adapter, public_key',
    ),
    (
        "qfex",
        f"colour = '{CANARY}'\njwt.env='A'",
        ".colour is not a known key (its value: not shown, it may be secret);",
    ),
    (
        "qfex",
        f"secert = '{CANARY}'\njwt.env='A'",
        ".secert is not a known key (its value: not shown, it may be secret);",
    ),
    (
        "qfex",
        f"jtw = '{CANARY}'\njwt.env='A'",
        ".jtw is not a known key (its value: not shown, it may be secret); did you mean jwt?",
    ),
    (
        "qfex",
        "journal = 'x'\njwt.env='A'",
        '.journal is not a known key (its value: "x"); it belongs at the top of the file, above',
    ),
    (
        "qfex",
        "strict = false\njwt.env='A'",
        ".strict is not a known key (its value: false); it belongs at the top of the file",
    ),
    ("qfex", "rate = 3\njwt.env='A'", f".rate is not a known key (its value: 3); write {LIMITS}"),
    ("qfex", "account = 17\njwt.env='A'", '.account was 17; it is text, in quotes ("...")'),
    ("qfex", "account = ''\njwt.env='A'", '.account was ""; it can\'t be empty; leave the key out for none'),
    (
        "qfex",
        "account = 'a'\naccount_id = 'a'\njwt.env='A'",
        ".account_id is the same setting as venues.it.account; keep one of the two",
    ),
    ("qfex", "account = 2026-01-01\njwt.env='A'", ".account was 2026-01-01; it is text, in quotes"),
    (
        "qfex",
        f"account = 'qfex_secret_{'a' * 20}'\njwt.env='A'",
        ".account has the form of a secret; take it out and write account = {",
    ),
    (
        "qfex",
        "cancel_on_disconnect = 'on'\njwt.env='A'",
        '.cancel_on_disconnect was "on"; it is true or false, without quotes',
    ),
    ("qfex", "deadline.env = 'A'\njwt.env='A'", ".deadline is a reference, which stands for text; it is a number"),
    (
        "qfex",
        "cancel_on_disconnect.file = 'A'\njwt.env='A'",
        ".cancel_on_disconnect is a reference, which stands for text; it is true or",
    ),
    ("qfex", "on_exit = 1\njwt.env='A'", '.on_exit was 1; it is one of "leave", "cancel"'),
    ("qfex", "limits = 5\njwt.env='A'", f".limits was 5; it is a table: {LIMITS}"),
    (
        "qfex",
        "limits.rate = 5\njwt.env='A'",
        ".limits.rate was 5; this adapter takes no rate: its venue's own budget is 12000 in 60 s; only share",
    ),
    (
        "qfex",
        "limits.share = 1.5\njwt.env='A'",
        ".limits.share was 1.5; it is the part of the account's rate budget for this process, a number above 0 and up to 1",
    ),
    ("qfex", "limits.share = 0\njwt.env='A'", ".limits.share was 0; it is the part of the account's rate budget"),
    ("qfex", "share = '50%'\njwt.env='A'", '.share was "50%"; it is the part of the account\'s rate budget'),
    (
        "qfex",
        "share = 1\nlimits.share = 1\njwt.env='A'",
        ".limits.share is the same setting as venues.it.share; keep one of the two",
    ),
    (
        "qfex",
        "limits.burst = 5\njwt.env='A'",
        ".limits.burst is not a known key (its value: 5); the keys of limits are: rate, per, share",
    ),
    ("qfex", "url = 'https://trade.qfex.com'\njwt.env='A'", '.url was "https://trade.qfex.com"; it must be wss://'),
    ("qfex", "url = 'trade.qfex.com'\njwt.env='A'", '.url was "trade.qfex.com"; it must be wss://host'),
    (
        "qfex",
        f"url = 'wss://me:{CANARY}@h'\njwt.env='A'",
        '.url was "wss://[redacted]@h"; it must be wss://host, without a user and a password',
    ),
    (
        "qfex",
        f"url = 'wss://h/?api_key={CANARY}'\njwt.env='A'",
        '.url was "wss://h/?api_key=[redacted]"; it carries a secret (api_key=); give the',
    ),
    ("qfex", f"url = 'wss:me:{CANARY}@h'\njwt.env='A'", '.url was "wss:[redacted]@h"; it must be wss://host'),
    (
        "qfex",
        f"secret_key = '{SHORT}'\npublic_key = 'a'",
        f".secret_key {REFUSED} (as text); take it out and write secret_key = {{ file",
    ),
    ("qfex", "jwt = 123456789", f".jwt {REFUSED} (as a number); take it out"),
    ("qfex", f"jwt = ['{CANARY}']", f".jwt {REFUSED} (as a list); take it out"),
    ("qfex", "jwt = ''", '.jwt is empty; write jwt = { file = "it-jwt" }'),
    ("qfex", "jwt = '${QFEX_JWT}'", f".jwt {REFUSED} (as text); take it out"),
    ("qfex", "jwt = {}", f".jwt is an empty table; a reference is exactly one of {FORMS}"),
    ("qfex", "jwt = { env = 'A', file = 'b' }", f".jwt has file and env; a reference is exactly one of {FORMS}"),
    (
        "qfex",
        f"jwt = {{ literal = '{CANARY}' }}",
        f".jwt.literal is not a known key (its value: not shown, it may be a secret); a reference is one of {FORMS}",
    ),
    (
        "qfex",
        f"jwt = {{ fil = '{CANARY}' }}",
        ".jwt.fil is not a known key (its value: not shown, it may be a secret); did you mean file?",
    ),
    ("qfex", "jwt = { env = 5 }", f".jwt.env is a number; it is a name in quotes: a reference is one of {FORMS}"),
    ("qfex", "jwt = { env = '' }", '.jwt.env was ""; it is a name in quotes'),
    ("qfex", "jwt = { env = '$QFEX_JWT' }", '.jwt.env was "$QFEX_JWT"; write the name alone: env = "QFEX_JWT"'),
    ("qfex", "jwt = { env = '${QFEX_JWT}' }", '.jwt.env was "${QFEX_JWT}"; write the name alone: env = "QFEX_JWT"'),
    (
        "qfex",
        f"jwt = {{ env = '{CANARY}' }}",
        ".jwt.env is no name of an environment variable (its value is not shown, it may be the secret itself)",
    ),
    (
        "qfex",
        f'jwt = {{ file = "{CANARY}\\n" }}',
        ".jwt.file is no path (its value is not shown, it may be the secret itself)",
    ),
    (
        "qfex",
        "jwt = { credential = '/etc/x' }",
        '.jwt.credential was "/etc/x"; it is the name that LoadCredential= gives it, without a directory',
    ),
    ("qfex", f"jwt = {{ credential = '{CANARY}' }}", ".jwt.credential was not a plain name; it is the name that"),
    ("qfex", "jwt = { credential = '..' }", '.jwt.credential was ".."; it is the name'),
    (
        "qfex",
        "public_key = 'p'",
        " can't be used: pass public_key and secret_key, or jwt, and not both (a secret is given by reference",
    ),
    ("qfex", "", " can't be used: pass public_key and secret_key, or jwt, and not both"),
    (
        "b2trader",
        f"{B2}\nbase_url = 'https://b.example'",
        ".base_url is the same setting as venues.it.url; keep one of the two",
    ),
    ("b2trader", "account = 'a'\ntoken.env = 'A'", ".url is missing; the adapter needs url = ...: it is text"),
    (
        "b2trader",
        "url = 'https://b.example'\ntoken.env = 'A'",
        ".account is missing; the adapter needs account = ...: it is text",
    ),
    (
        "b2trader",
        "url = 'wss://b.example'\naccount='a'\ntoken.env = 'A'",
        '.url was "wss://b.example"; it must be https://',
    ),
    (
        "b2trader",
        "url = 'https://b.example/?a=b'\naccount='a'\ntoken.env = 'A'",
        '.url was "https://b.example/?a=[redacted]"; paths are appended to it',
    ),
    ("b2trader", "url = 'https://b.example'\naccount='a'", " can't be used: pass token or offline_token, and not both"),
    (
        "b2trader",
        f"{B2}\nbudget = {{ units = 1, seconds = 1 }}",
        f".budget is not a known key (its value: a table); write {LIMITS}",
    ),
    (
        "b2trader",
        f"{B2}\nlimits.rate = 0",
        ".limits.rate was 0; it is how many units may be sent in `per` seconds, a number above 0, without quotes: rate = 10",
    ),
    ("b2trader", f"{B2}\nlimits.rate = '10/s'", '.limits.rate was "10/s"; it is how many units'),
    (
        "b2trader",
        f"{B2}\nlimits = {{ rate = 1, per = -1 }}",
        ".limits.per was -1; it is a number of seconds above 0, without quotes: per = 1",
    ),
    ("b2trader", f"{B2}\nlimits.per = 1", f".limits.rate is missing, and per alone says nothing; write {LIMITS}"),
    ("b2trader", f"{B2}\ndeadline = true", f".deadline was true; {SECONDS}"),
    (
        "dmex",
        "order_encoder = 'make'\nprivate_key.env='A'",
        ".order_encoder can't be written in a file: the adapter takes an object of Python's for it; leave it out and build the Router in Python",
    ),
    ("dmex", "keystore = 3\npassword.env='A'", '.keystore was 3; it is a path, in quotes ("...")'),
    ("dmex", "keystore = 'a'", " can't be used: a keystore needs its password, and nothing else takes one"),
    (
        "dmex",
        "account = 'a'\nprivate_key.env='A'",
        '.account is not a known key (its value: "a"); the keys of this venue are: adapter, private_key',
    ),
    ("dmex", f"mnemonic = '{CANARY}'", f".mnemonic {REFUSED} (as text)"),
    ("dmex", "private_key = 0xdeadbeef", f".private_key {REFUSED} (as a number)"),
    ("dmex", "rest_url = 'wss://x'\nprivate_key.env='A'", '.rest_url was "wss://x"; it must be https://'),
    ("ccxt", "credentials.apiKey.env = 'A'", ".exchange is missing; the adapter needs exchange = ...: "),
    (
        "ccxt",
        f"exchange = 'kraken'\ncredentials.secret = '{CANARY}'",
        f".credentials.secret {REFUSED} (as text); take it out and write secret = {{ file",
    ),
    (
        "ccxt",
        f"exchange = 'kraken'\ncredentials.apikey = '{CANARY}'",
        ".credentials.apikey is not a known key (its value: not shown, it may be secret); did you mean apiKey?",
    ),
    ("ccxt", f"exchange = 'kraken'\ncredentials = '{CANARY}'", ".credentials was "),
    (
        "ccxt",
        "exchange = 'kraken'\ncredentials.uid = 5",
        ".credentials was a table (uid); it is a table (Expected `str`, got `int`",
    ),
    (
        "ccxt",
        f"exchange = 'kraken'\ncredentials.secret = {{ evn = '{CANARY}' }}",
        ".credentials.secret.evn is not a known key",
    ),
    ("ccxt", f"exchange = 'kraken'\noptions.password = '{CANARY}'", f".options.password {REFUSED} (as text)"),
    (
        "ccxt",
        "exchange = 'kraken'\nquiet_period = 0\ncredentials.apiKey.env='A'",
        f".quiet_period was 0; {SECONDS}: quiet_period = 3",
    ),
    (
        "ccxt",
        "exchange = 'kraken'\nclient_order_ids = 1\ncredentials.apiKey.env='A'",
        ".client_order_ids was 1; it is true or false, without quotes",
    ),
    ("ccxt", "exchange = 'kraken'", " can't be used: kraken needs apiKey, secret (a secret is given by reference"),
]


@pytest.mark.parametrize(("adapter", "table", "mistake"), VENUES)
def test_each_mistake_of_a_venue(mistakes, adapter, table, mistake):
    (found,) = mistakes(f"[venues.it]\nadapter = '{adapter}'\n{table}")
    assert found.startswith(f"venues.it{mistake}"), found
    assert SHORT not in found


def test_the_nearest_of_ccxts_exchanges_is_named(mistakes):
    (found,) = mistakes("[venues.ccxt]\nexchange = 'krakn'")
    assert "exchange was 'krakn'; known: " in found
    assert '(did you mean "kraken"?)' in found


# -- the file itself


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        (
            f"[venues.qfex]\nsecret_key = {CANARY}",
            "line 2, column 14 (venues.qfex.secret_key): invalid value; write text in quotes",
        ),
        (
            "strict = True",
            'line 1, column 10 (strict): invalid value; write text in quotes ("..."), true and false in lower case',
        ),
        (
            "strict = true\nstrict = true\n[venues]",
            "line 2, column 14 (strict): cannot overwrite a value; a key stands there for the second time",
        ),
        (
            "[venues.qfex]\n[venues.qfex]",
            "line 2, column 13: cannot declare ('venues', 'qfex') twice; that table stands there",
        ),
        (f"[venues.qfex]\nurl = '{CANARY}\n", "the end of the file (venues.qfex.url): expected"),
        (
            f'[venues.qfex]\njwt = """{CANARY}\nAbc0dEfGh1JkLmNoP=',
            "the end of the file: unterminated string; close the text",
        ),
        ("strict true", "line 1, column 8: expected '=' after a key in a key/value pair; write KEY = VALUE"),
        (
            "[venues.qfex",
            "the end of the file: expected ']' at the end of a table declaration; close the header with ]",
        ),
        (
            "[venues.qfex]\nlimits = { rate = 1,\n per = 1 }",
            "line 2, column 21 (venues.qfex.limits): invalid initial character",
        ),
        (
            "deadline = 3s",
            "line 1, column 13 (deadline): expected newline or end of document after a statement; something follows",
        ),
        ("a = " + "[" * 5000, "it is nested too deep"),
        ("a = " + "1" * 5000, "a number in it has too many digits"),
        (b"[venues.qfex]\naccount = 'B\xf6rse'", "line 2, byte 13 is not UTF-8; save the file as UTF-8"),
        ("strict = true".encode("utf-16"), "line 1, byte 1 is not UTF-8; save the file as UTF-8"),
        ("#" * (256 * 1024 + 1), "it has 262145 bytes, and 262144 are the most: is it the right file?"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(mistakes, text, mistake):
    (found,) = mistakes(text)
    assert found.startswith(mistake), found
    assert "Abc0" not in found


def test_a_file_that_cant_be_read_is_told_with_what_to_do(tmp_path, write, monkeypatch):
    def said(path):
        with pytest.raises(ConfigError) as caught:
            config.load(path)
        assert caught.value.path == str(path).replace("\0", "\\x00")
        (mistake,) = caught.value.mistakes
        return mistake

    missing = "; write one (docs/configuration.md shows how), or name another with --config or in ROUTER_CONFIG"
    assert said(tmp_path / "none" / "r.toml") == f"there is no such file{missing}"
    assert said(tmp_path) == "it is a directory, not a regular file; name the file itself, for example router.toml"
    near = write("", "router.toml")
    assert said(tmp_path / "routr.toml") == f"there is no such file; did you mean {near}?"
    assert said(near / "x").startswith("a part of its path is not a directory")
    assert said(tmp_path / ("x" * 300)).startswith("its name is too long for a file")
    assert said(f"{tmp_path}/a\0b").startswith("its name has characters that no file's name has")
    os.mkfifo(tmp_path / "fifo")
    assert said(tmp_path / "fifo") == "it is a named pipe, not a regular file"
    assert said("/dev/zero") == "it is a device, not a regular file"
    (tmp_path / "circle").symlink_to("circle")
    assert said(tmp_path / "circle").startswith("it is a symbolic link, or leads in a circle")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)
        server.bind("socket")
    assert said(tmp_path / "socket") == "it is a socket or a device, not a regular file"


def test_a_link_to_the_file_is_followed(write, tmp_path):
    path = write(f"[venues.qfex]\n{QFEX}")
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    assert list(config.load(link).venues) == ["qfex"]


# -- secrets


def test_a_file_of_ours_is_read_without_its_last_line_break(write, secret):
    loaded = config.load(write('[venues.qfex]\njwt = { file = "secret" }'))
    for text, mode in (("one\n", 0o600), ("two\r\n", 0o400), (" thr ee ", 0o600), ("\ufefffour\n\n", 0o600)):
        path = secret(text, mode=mode)
        assert set(loaded.adapters()["qfex"]._codec.secrets()) - {""} == {text.strip("\ufeff\r\n")}
        path.unlink()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666, 0o700, 0o601, 0o620, 0o4600])
def test_a_file_that_others_may_use_is_refused_with_the_command(mistakes, secret, mode):
    path = secret(CANARY, mode=mode)
    assert mistakes('[venues.qfex]\njwt = { file = "secret" }') == [
        (
            f"venues.qfex.jwt refers to the file {path}: its mode is {mode:04o}, and 0600 or 0400 are allowed, so that nobody "
            f"else can read it; chmod 600 {path}"
        )
    ]


def test_the_command_is_one_that_can_be_pasted(mistakes, secret):
    path = secret(CANARY, "my secret's", mode=0o644)
    (found,) = mistakes('[venues.qfex]\njwt = { file = "my secret\'s" }')
    command = found.rpartition("; ")[2]
    subprocess.run(["/bin/sh", "-c", command], check=True)  # noqa: S603 - ours
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="chown needs root")
def test_a_file_of_somebody_else_is_refused(mistakes, secret):
    path = secret(CANARY)
    os.chown(path, 54321, 54321)
    assert mistakes('[venues.qfex]\njwt = { file = "secret" }') == [
        f"venues.qfex.jwt refers to the file {path}: it belongs to uid 54321, and this process is root (uid 0); chown 0 {path}"
    ]


def test_a_link_is_refused_naming_what_it_leads_to(mistakes, secret, tmp_path):
    path = secret(CANARY)
    (tmp_path / "link").symlink_to("secret")
    assert mistakes('[venues.qfex]\njwt = { file = "link" }') == [
        f"venues.qfex.jwt refers to the file {tmp_path}/link: it is a symbolic link; name the file itself: {path}"
    ]
    path.unlink()
    (found,) = mistakes('[venues.qfex]\njwt = { file = "link" }')
    assert found.endswith("it is a symbolic link; name the file itself")


def test_what_is_no_secret_file_is_refused(mistakes, secret, tmp_path):
    def said(name):
        (found,) = mistakes(f"[venues.qfex]\njwt = {{ file = '{name}' }}")
        return found.removeprefix("venues.qfex.jwt refers to ")

    assert said("missing").startswith(f"the file {tmp_path}/missing: there is no such file; write it, ")
    os.mkfifo(tmp_path / "fifo", 0o600)
    assert said("fifo") == f"the file {tmp_path}/fifo: it is a named pipe, not a regular file"
    assert said(".") == f"the file {tmp_path}: it is a directory, not a regular file"
    assert said("/dev/zero") == "the file /dev/zero: it is a device, not a regular file"
    secret("\n", "empty")
    assert said("empty") == f"file {tmp_path}/empty, which is empty; put the secret there"
    secret("a\0b", "zero")
    assert said("zero") == f"file {tmp_path}/zero, which is no text in UTF-8; write the secret anew there"
    secret(CANARY.encode() + b"\xff", "latin")
    assert said("latin") == f"file {tmp_path}/latin, which is no text in UTF-8; write the secret anew there"
    secret(CANARY * 5000, "huge")
    assert said("huge").endswith(f"bytes, and {MAX_SECRET} are the most: is it the right file?")
    assert said("x" * 300).startswith("the file (not shown) in ")


def test_a_secret_in_the_place_of_a_files_name_is_not_shown(mistakes, tmp_path):
    (found,) = mistakes(f"[venues.qfex]\njwt = {{ file = '{CANARY}' }}")
    assert found.startswith(f"venues.qfex.jwt refers to the file (not shown) in {tmp_path}: ")


def test_a_variable_that_is_not_set_is_named(mistakes, monkeypatch):
    monkeypatch.delenv("QFEX_SECRET", raising=False)
    monkeypatch.setenv("EMPTY_ONE", "")
    monkeypatch.setenv("NEAR_KEYS", CANARY)
    or_else = f"set it, or use another of {FORMS}"

    def said(name):
        (found,) = mistakes(f"[venues.qfex]\njwt = {{ env = '{name}' }}")
        return found.removeprefix("venues.qfex.jwt refers to the environment variable ")

    assert said("QFEX_SECRET") == f"QFEX_SECRET, which is not set; {or_else}"
    assert said("EMPTY_ONE") == f"EMPTY_ONE, which is empty; {or_else}"
    assert said("NEAR_KEY") == f"NEAR_KEY, which is not set (NEAR_KEYS is set; did you mean that?); {or_else}"
    for hidden in ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", SHORT, "JBSWY3DPEHPK3PXP", "qfex_secret_abcdef"):
        assert said(hidden) == f"(a name that is not shown), which is not set; {or_else}"


def test_a_variable_of_bytes_is_refused(mistakes, monkeypatch):
    monkeypatch.setitem(os.environb, b"BYTES_JWT", b"caf\xe9")
    (found,) = mistakes("[venues.qfex]\njwt = { env = 'BYTES_JWT' }")
    assert found == "venues.qfex.jwt refers to env BYTES_JWT, which is no text in UTF-8; write the secret anew there"


def test_a_credential_is_read_from_systemds_directory(mistakes, write, secret, tmp_path, monkeypatch):
    text = "[venues.qfex]\njwt = { credential = 'qfex-jwt' }"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (found,) = mistakes(text)
    assert found.startswith(
        "venues.qfex.jwt refers to the credential qfex-jwt, and $CREDENTIALS_DIRECTORY is not set, which systemd sets "
        "for a unit with LoadCredential=qfex-jwt:PATH; elsewhere use another of {"
    )
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    secret(CANARY, "credentials/other")
    (found,) = mistakes(text)
    assert found == (
        f"venues.qfex.jwt refers to the credential qfex-jwt in {directory}: there is no such file; there are: other; "
        "see LoadCredential= of the unit"
    )
    secret("the jwt\n", "credentials/..data", mode=0o440)
    (directory / "qfex-jwt").symlink_to("..data")  # as in Kubernetes
    assert set(config.load(write(text)).adapters()["qfex"]._codec.secrets()) - {""} == {"the jwt"}


def test_a_reference_may_stand_for_any_text(write, monkeypatch):
    monkeypatch.setenv("THE_ACCOUNT", "sub-1")
    monkeypatch.setenv("THE_URL", "wss://trade.qfex.io/")
    monkeypatch.setenv("QFEX_SECRET", "s" * 20)
    text = f"[venues.qfex]\naccount.env = 'THE_ACCOUNT'\nurl.env = 'THE_URL'\n{QFEX}"
    codec = config.load(write(text)).adapters()["qfex"]._codec
    assert (codec.account_id, codec.spec.url) == ("sub-1", "wss://trade.qfex.io/")


def test_what_an_adapter_says_to_a_secret_is_told_without_it(mistakes, monkeypatch):
    monkeypatch.setenv("A_URL", f"wss://{CANARY}")
    monkeypatch.setenv("A_KEY", CANARY)
    assert mistakes("[venues.b2trader]\nurl = 'https://b.example'\naccount.env = 'A_KEY'\ntoken.env = 'A_KEY'") == [
        "venues.b2trader can't be used: account_id was '[redacted]'; it is made of letters and digits"
    ]
    assert mistakes("[venues.dmex]\nprivate_key.env = 'A_KEY'\n[venues.qfex]\njwt.env = 'A_KEY'\npublic_key = 'p'") == [
        "venues.dmex can't be used: a private key is 64 hexadecimal digits, with or without 0x",
        "venues.qfex can't be used: pass public_key and secret_key, or jwt, and not both",
    ]


def test_nothing_of_a_secret_is_in_a_repr(write, monkeypatch):
    monkeypatch.setenv(f"PASTED_{SHORT}", "x")
    loaded = config.load(write(f"[venues.qfex]\njwt = {{ env = 'PASTED_{SHORT}' }}"))
    assert SHORT not in f"{loaded!r} {loaded.venues!r} {loaded.venues['qfex'].settings!r}"


def test_a_venue_of_an_unknown_adapter_has_its_other_mistakes_told_too(mistakes):
    found = mistakes(f"[venues.qfx]\napi_key = '{CANARY}'\ndeadline = 'x'\nanything = 3\nlimits.rate = 0")
    assert [each.split(" ")[0] for each in found] == [
        "venues.qfx",
        "venues.qfx.api_key",
        "venues.qfx.deadline",
        "venues.qfx.limits.rate",
    ]


# -- adapters of other packages

TALKER = """
    from typing import ClassVar
    from router.venue import Spec

    class Venue:
        declared = Spec(title="talker", docs_url="", cancel_kinds=frozenset())

        def __init__(self, api_key: str, level: int = 0, factor: float = 1.0, names: list[str] = (), auth_timeout: float = 1.0):
            raise RuntimeError(f"line one\\n{api_key} {api_key!r}")

        @classmethod
        def from_environ(cls, environ):
            return cls(environ["X"])
    """


def test_an_adapter_that_declares_no_secrets_has_those_that_are_named_so(package, mistakes, monkeypatch):
    package("talker", TALKER)
    (found,) = mistakes(f"[venues.talker]\napi_key = '{CANARY}'")
    assert found.startswith(f"venues.talker.api_key {REFUSED}")
    monkeypatch.setenv("TALKERS", f"{CANARY}'\n\\{CANARY}")
    (found,) = mistakes("[venues.talker]\napi_key.env = 'TALKERS'\nauth_timeout = 2.5\nlevel = 2\nnames = ['a']")
    assert found.startswith("venues.talker can't be used: RuntimeError: line one [redacted]")
    monkeypatch.setenv("TALKERS", "ab1")
    (found,) = mistakes("[venues.talker]\napi_key.env = 'TALKERS'")
    assert found.startswith("venues.talker can't be used: what its adapter says is not shown")
    assert mistakes("[venues.talker]\nlevel = 1.5\nfactor = 'x'\nnames = [1]\nauth_timeout = 0") == [
        "venues.talker.level was 1.5; it is a whole number, without quotes",
        'venues.talker.factor was "x"; it is a number, without quotes: factor = 3',
        "venues.talker.names was [1]; it is a list: [..., ...] (Expected `str`, got `int` - at `$[0]`)",
        f"venues.talker.auth_timeout was 0; {SECONDS}: auth_timeout = 3",
        (
            'venues.talker.api_key is missing; write api_key = { file = "talker-api_key" }, a file of mode 0600 with nothing '
            'else in it, api_key = { credential = "talker-api_key" } under systemd, or api_key = { env = "TALKER_API_KEY" }'
        ),
    ]


def test_a_broken_package_stops_no_other_venue(package, write, mistakes, monkeypatch):
    package("broken", "raise RuntimeError('out of order')\n")
    monkeypatch.setenv("QFEX_SECRET", "s" * 20)
    text = f"[venues.qfex]\n{QFEX}\n[venues.broken]\nurl = 'x://y'\nanything = 3\n"
    assert list(config.load(write(text)).adapters(["qfex"])) == ["qfex"]
    assert mistakes(text) == [
        "venues.broken can't be used: broken_venue:Venue cannot be imported: RuntimeError: out of order"
    ]
    (found,) = mistakes(f"{text}api_key = '{CANARY}'")
    assert found.startswith(f"venues.broken.api_key {REFUSED}")


def test_whatever_a_constructor_takes_can_be_given(package, write):
    package(
        "taker",
        """
        import enum
        from decimal import Decimal
        from pathlib import Path
        from typing import Any, Literal
        from attrs import frozen
        from router.venue import Spec

        class Mode(enum.Enum):
            FAST = "fast"

        @frozen
        class Part:
            size: int

        class Venue:
            declared = Spec(title="taker", docs_url="", cancel_kinds=frozenset())
            secret_settings = frozenset()

            def __init__(self, *, mode: Mode, path: Path, step: Decimal, part: Part, both: int | str, some: tuple[int, ...],
                         three: Literal[1, 2, 3], url: str, **more: Any) -> None:
                self.taken = (mode, path, step, part, both, some, three, more)

            @classmethod
            def from_environ(cls, environ):
                raise NotImplementedError
        """,
    )
    path = write("""
        deadline = 3
        [venues.taker]
        mode = "fast"
        path = "here"
        step = "0.1"
        part.size = 3
        both = "x"
        some = [1, 2]
        three = 3
        url = "fix://host:1"
        deadline = 1
        extra = { deep = [1, { deeper = true }] }
        """)
    mode, where, step, part, both, some, three, more = config.load(path).adapters()["taker"].taken
    assert (mode.name, where, str(step), part.size, both, some, three) == (
        "FAST",
        path.parent / "here",
        "0.1",
        3,
        "x",
        (1, 2),
        3,
    )
    assert more == {"deadline": 1.0, "extra": {"deep": [1, {"deeper": True}]}}


def test_nothing_is_imported_before_it_is_needed(write):
    path = write(f"[venues.qfex]\n{QFEX}")
    script = f"""
        import sys
        from router import config
        assert not [name for name in sys.modules if name.startswith("adapters")]
        config.load({str(path)!r})
        heavy = {{"adapters.dmex", "adapters.b2trader", "ccxt", "eth_account", "web3", "aiohttp"}}
        assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)  # noqa: S603 - ours


# -- whatever stands in a file

SECRET_KEYS = [
    "secret_key",
    "jwt",
    "token",
    "offline_token",
    "private_key",
    "password",
    "mnemonic",
    "api_key",
    "secert_key",
    "apiKey",
]
NAMES = st.sampled_from(
    ["venues", "journal", "durability", "on_unknown", "strict", "deadline", "qfex", "b2trader", "dmex", "adapter", "url",
     "account", "limits", "rate", "per", "share", "env", "file", "credential", "rest_url", "keystore", "order_encoder", "x y", ""]
)  # fmt: skip
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["qfex", "b2trader", "dmex", "full", "wss://x", "https://x", "A_B", "/etc"]),
    st.just(date(2026, 1, 1)),
)


def tables(values):
    plain = st.dictionaries(NAMES | st.text(max_size=6), values, max_size=5)
    hidden = st.dictionaries(
        st.sampled_from(SECRET_KEYS), st.sampled_from([CANARY, [CANARY], {"env": CANARY}, {"evn": CANARY}]), max_size=2
    )
    return st.builds(lambda one, other: one | other, plain, hidden)


VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | tables(inner), max_leaves=12)
WITH_VENUES = st.builds(
    lambda top, venues: top | {"venues": venues},
    tables(VALUES),
    st.dictionaries(st.sampled_from(["qfex", "b2trader", "dmex", "x"]), tables(VALUES), max_size=3),
)


def raised(path):
    """The mistakes, or None; and no other exception."""
    try:
        config.load(path).adapters()
    except ConfigError as error:
        return error
    return None


def toml(value):
    """TOML of a value; the standard library only reads it."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(str(key))} = {toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            '"'
            + "".join(char if char.isalnum() or char in " -_/:+=" else f"\\U{ord(char):08x}" for char in value)
            + '"'
        )
    return str(value)


@settings(
    max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(document=tables(VALUES) | WITH_VENUES)
def test_whatever_the_file_has_nothing_but_its_mistakes_are_raised_and_no_secret_is_shown(document, write, caplog):
    caplog.set_level(logging.DEBUG)
    text = "\n".join(f"{toml(key)} = {toml(value)}" for key, value in document.items())
    assert tomllib.loads(text).keys() == document.keys()
    error = raised(write(text.encode()))
    if error is not None:
        assert error.mistakes
        assert not [each for each in error.mistakes if not each.isprintable()]
    shown = f"{error} {error!r} {''.join(traceback.format_exception(error))}"
    assert CANARY not in shown + caplog.text
    assert CANARY[7:17] not in shown + caplog.text


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200) | st.text(alphabet="[]{}=\"'\\\n.#,a1 ", max_size=60).map(str.encode))
def test_whatever_the_bytes_are_nothing_but_mistakes_are_raised(content, write):
    with pytest.raises(ConfigError):
        config.load(write(content))
