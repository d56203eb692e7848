"""Files of credentials: what is read is what was written, what can't be right is told at once, and the seed is never shown."""

import os
import traceback

import nkeys
import pytest

from router.cluster.broker.credentials import Credentials, checked_server
from router.errors import ConfigError
from router.redact import Secret

URL = "tls://nats.example:4222"


def seed(kind=nkeys.PREFIX_BYTE_USER):
    return nkeys.encode_seed(os.urandom(32), kind).decode()


@pytest.fixture
def file(tmp_path):
    """Write a file of credentials with this text, and tell its path."""

    def write(text, mode=0o600):
        path = tmp_path / "alpha.toml"
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


def mistakes(path):
    with pytest.raises(ConfigError) as told:
        Credentials.read(path)
    return told.value.mistakes


def test_what_is_written_is_read(tmp_path):
    given = Credentials(url=[URL, "tls://b"], strategy="alpha", seed=seed(), api="router.js")
    given.written(tmp_path / "alpha.toml")
    found = Credentials.read(tmp_path / "alpha.toml")
    assert (found.url, found.strategy, found.api) == ((URL, "tls://b"), "alpha", "router.js")
    assert found.seed.reveal() == given.seed.reveal()
    assert (tmp_path / "alpha.toml").stat().st_mode & 0o777 == 0o600


def test_paths_begin_in_the_files_directory(file, tmp_path):
    found = Credentials.read(file(f'url = "{URL}"\nca = "ca.pem"\ncertificate = "/c.pem"\nkey = "sub/key.pem"\n'))
    assert (found.ca, str(found.certificate), found.key) == (
        tmp_path / "ca.pem",
        "/c.pem",
        tmp_path / "sub" / "key.pem",
    )


def test_nothing_is_written_over(file):
    path = file("mine")
    with pytest.raises(FileExistsError):
        Credentials(url=URL).written(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_use_is_refused(file, mode):
    told = mistakes(file(f'url = "{URL}"', mode))
    assert f"its mode is {mode:04o}" in told[0]
    assert "chmod 600" in told[0]


def test_a_file_that_is_not_there_is_told(tmp_path):
    assert "there is no such file" in mistakes(tmp_path / "none.toml")[0]


def test_all_mistakes_are_told_at_once(file):
    told = mistakes(file('url = "http://x"\nstrategy = "a.b"\nseed = "SUNO"\nsead = "SUOOPS"\nca = 3\n'))
    assert len(told) == 5
    assert any("did you mean seed?" in each for each in told)
    assert any("url was 'http://x'" in each for each in told)
    assert any("strategy was 'a.b'" in each for each in told)
    assert any("ca was 3" in each for each in told)
    assert not any("SUNO" in each or "SUOOPS" in each for each in told)


@pytest.mark.parametrize("text", ["", "strategy = 'a'", "url =", "\xff", "url = [1]", "a = " + "[" * 2000])
def test_what_is_no_such_file_is_told(file, text):
    assert mistakes(file(text))


def test_a_key_without_its_certificate_is_told(file):
    assert "belong together" in mistakes(file(f'url = "{URL}"\nkey = "k.pem"'))[0]


@pytest.mark.parametrize("wrong", ["last letter", "too short", "account", "lower case", "no base32"])
def test_a_seed_that_is_none_is_refused_and_not_shown(file, wrong):
    good = seed()
    bad = {
        "last letter": good[:30] + ("A" if good[30] != "A" else "B") + good[31:],
        "too short": good[:-4],
        "account": seed(nkeys.PREFIX_BYTE_ACCOUNT),
        "lower case": good.lower(),
        "no base32": "SU" + "1" * 56,
    }[wrong]
    with pytest.raises(ConfigError) as told:
        Credentials.read(file(f'url = "{URL}"\nseed = "{bad}"\n'))
    assert "no user's nkey seed" in str(told.value)
    assert bad not in "".join(traceback.format_exception(told.value))


def test_the_seed_shows_nowhere():
    given = Credentials(url=URL, seed=seed())
    assert given.seed.reveal() not in repr(given) + str(given)
    assert Credentials(url=URL, seed=Secret(given.seed.reveal())).seed.reveal() == given.seed.reveal()


@pytest.mark.parametrize(
    "url", [URL, "tls://h", "nats://127.0.0.1:1", "nats://localhost", "nats://[::1]:4222", "tls://h/"]
)
def test_tls_goes_anywhere_and_clear_text_only_to_this_machine(url):
    assert checked_server(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "nats://nats.example",
        "nats://10.0.0.1:4222",
        "ws://127.0.0.1",
        "tls://u:p@h",
        "tls://h/x",
        "tls://h?x",
        "h:4222",
        "",
        "tls://",
        "tls://h:x",
        "tls://h\r\n",
        "nats://127.0.0.1.evil.example",
    ],
)
def test_any_other_address_is_refused(url):
    with pytest.raises(ValueError, match="url was"):
        checked_server(url)


def test_a_password_in_an_address_is_not_shown():
    with pytest.raises(ValueError, match="redacted") as told:
        checked_server("tls://user:hunter22@h")
    assert "hunter22" not in str(told.value)
