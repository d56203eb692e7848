"""No key, token or signature in anything that is printed, logged, raised or reported.

This file is also the script that is searched: run by the tests in a process of its own, it plays the demo with known
keys, everything at DEBUG, prints whatever can be printed, and writes down apart what must not have been among it.
"""

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path

import attrs
import jwt
import pytest

from adapters import demo
from adapters.b2trader import B2Trader
from adapters.b2trader.simulator import B2TraderSimulator
from adapters.dmex import Dmex
from adapters.dmex.simulator import DmexSimulator
from adapters.qfex import Qfex
from adapters.qfex.simulator import QfexSimulator
from router import Cancel, Outcome, Router, RouterError, console
from router.cli.demo import steps_table
from router.redact import HIDDEN

log = logging.getLogger("canary")

TOKEN = jwt.encode({"sub": "canary"}, "ca" * 16, algorithm="HS256")
CANARIES = {  # what the demo is given
    "qfex secret key": "qfex_secret_" + "ca" * 16,
    "b2trader offline token": "canary-offline-token-0123456789abcdef",
    "dmex private key": "ca" * 32,
}
WRONG = {  # what is refused
    "wrong qfex secret key": "qfex_secret_" + "0b" * 16,
    "secret key of another shape": "canary/+=another-shape",
    "wrong jwt": TOKEN,
    "jwt that is none": "canary-jwt-in-no-known-shape",
    "wrong offline token": "canary-wrong-offline-token",
    "api_key in a url": "canary-api-key-in-a-url",
    "private key of 63 digits": "cab" * 21,
    "private key beyond the curve": "f" * 64,
}


# -- the script


def show(*things):
    """Everything a careless program might do with them."""
    for thing in things:
        sys.stdout.write(f"{thing}\n{thing!r}\n")
        log.debug("%s %r", thing, thing)


def show_error(error):
    show(error, *error.args, vars(error))
    log.error("failed", exc_info=error)
    sys.stdout.writelines(traceback.format_exception(error))


async def show_adapter(make, cancel):
    """An adapter before, during and after its use, or the error that it ended in."""
    try:
        adapter = make()
        show(adapter, adapter.spec, adapter._codec)
        async with Router({cancel.venue: adapter}) as router:
            report = await router.cancel(cancel)
            show(router, router.health(), adapter, report, attrs.asdict(report))
            report.raise_for_outcome()
        show(router, adapter)
    except (RouterError, ValueError) as error:
        show_error(error)


async def show_adapters(venues):
    qfex, b2trader, dmex = venues.qfex, venues.b2trader, venues.dmex
    keys = list(WRONG.values())
    in_url = f"?api_key={WRONG['api_key in a url']}"
    not_qfex = b2trader.url.replace("http", "ws")
    public, base = qfex.public_key, (b2trader.url, b2trader.account_id)
    cancels = Cancel("qfex", "1", symbol="AAPL-USD"), Cancel("b2trader", "1"), Cancel("dmex", "0x" + "5e" * 32)
    for make, cancel in (
        (lambda: Qfex(**qfex.credentials), cancels[0]),
        (lambda: Qfex(jwt=qfex.jwt, url=qfex.url), cancels[0]),
        (lambda: Qfex(public, keys[0], url=qfex.url), cancels[0]),
        (lambda: Qfex(public, keys[1], url=qfex.url), cancels[0]),
        (lambda: Qfex(jwt=keys[2], url=qfex.url), cancels[0]),
        (lambda: Qfex(jwt=keys[3], url=qfex.url), cancels[0]),
        (lambda: Qfex(public, keys[0], url=qfex.url + in_url), cancels[0]),
        (lambda: Qfex(public, keys[0], url=f"{not_qfex}/{in_url}"), cancels[0]),
        (lambda: Qfex(public, keys[0], url=f"ws://127.0.0.1:1/{in_url}"), cancels[0]),
        (lambda: Qfex(public, keys[0], url=f"ws://venue.example/{in_url}"), cancels[0]),
        (lambda: Qfex(public, keys[0], url=f"wss://venue example/{in_url}"), cancels[0]),
        (lambda: Qfex(public, keys[0], jwt=keys[2]), cancels[0]),
        (lambda: B2Trader(**b2trader.credentials), cancels[1]),
        (lambda: B2Trader(*base, token=b2trader.token()), cancels[1]),
        (lambda: B2Trader(*base, offline_token=keys[4]), cancels[1]),
        (lambda: B2Trader(*base, token=keys[2]), cancels[1]),
        (lambda: B2Trader(*base, token=keys[3]), cancels[1]),
        (lambda: Dmex(**dmex.credentials), cancels[2]),
        (lambda: Dmex(keys[6], url=dmex.url), cancels[2]),
        (lambda: Dmex(keys[7], url=dmex.url), cancels[2]),
        (lambda: Dmex(dmex.private_key, mnemonic=keys[1]), cancels[2]),
    ):
        await show_adapter(make, cancel)


async def show_demo(venues):
    """The demo as the command line shows it, and every report that it hears."""
    reports = []
    note, place = demo.Stage.note, demo.Stage.place

    def noting(self, title, report, expected):
        reports.append(report)
        return note(self, title, report, expected)

    async def placing(self, terms):
        reports.append(await place(self, terms))
        return reports[-1]

    demo.Stage.note, demo.Stage.place = noting, placing
    steps = await demo.play(venues, show)
    console.show(steps_table(steps))
    console.show_json([attrs.asdict(step) for step in steps])
    for report in reports:
        show(report, attrs.asdict(report), report.request, report.raw)
    assert all(step.ok for step in steps), "a demo that stops halfway would be searched in vain"
    assert len(reports) > len(steps)


async def show_echo(dmex):
    """A venue that repeats the signature in its answer, as data and in words."""
    dmex.switches.deaf = True
    async with Router({"dmex": Dmex(**dmex.credentials)}) as router:
        cancels = router.cancel_many([Cancel("dmex", "0x" + "ec" * 32)])
        count = len(dmex.commands("cancel_order")) + 1
        data = (await dmex.until(count, "cancel_order"))[-1].message["data"]
        error = f"Order not found: {json.dumps(data)}"
        await dmex.send({"op": "cancel_order", "success": False, "error": error, "data": data})
        (report,) = await cancels
    show(report, attrs.asdict(report), report.raw)
    assert report.outcome is Outcome.UNKNOWN  # not the words of a refusal that the venue has published
    assert (report.raw.count(HIDDEN), report.text.count(HIDDEN)) == (4, 2)


def read_by(venues):
    """Every signature and every token that the venues have read off the wire."""
    for item in venues.qfex.commands("auth"):
        yield item.message["params"].get("hmac", {}).get("signature")
        yield item.message["params"].get("jwt")
    for item in venues.b2trader.received:
        yield item.headers.get("authorization", "").removeprefix("Bearer ")
    for item in venues.dmex.commands("cancel_order"):
        yield from (item.message["data"][name][2:] for name in "rs")


async def perform(path, leak):
    asyncio.get_running_loop().slow_callback_duration = 0.0  # asyncio logs every callback with its arguments
    private_key = CANARIES["dmex private key"]
    async with (
        QfexSimulator(secret_key=CANARIES["qfex secret key"]) as qfex,
        B2TraderSimulator(offline_token=CANARIES["b2trader offline token"]) as b2trader,
        DmexSimulator(private_key="0x" + private_key) as dmex,
    ):
        venues = demo.Venues(qfex, b2trader, dmex)
        await show_demo(venues)
        await show_adapters(venues)
        await show_echo(dmex)
        found = {secret for secret in read_by(venues) if secret}
    secrets = CANARIES | WRONG | {f"read off the wire, {number}": secret for number, secret in enumerate(sorted(found))}
    if leak:
        log.debug("careless: %s", secrets[leak])
    path.write_text(json.dumps(secrets))


def main(path, leak=""):
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s %(levelname)s %(message)s")
    for name in ("asyncio", "websockets", "websockets.client", "aiohttp", "aiohttp.client", "router"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    asyncio.run(perform(Path(path), leak), debug=True)


# -- the tests


def played(tmp_path, leak=""):
    """What the script must not show, by what it is; and what it showed."""
    path = tmp_path / "secrets.json"
    command = [sys.executable, __file__, str(path), *([leak] if leak else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - ourselves
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(path.read_text()), done.stdout + done.stderr


def shown(secrets, text):
    """Which of the secrets occur in the text."""
    return {name for name, secret in secrets.items() if secret.lower() in text.lower()}


def test_no_secret_is_shown(tmp_path):
    secrets, text = played(tmp_path)
    assert shown(secrets, text) == set()
    assert len(secrets) > len(CANARIES | WRONG) + 10
    for evidence in (
        "asyncio DEBUG Using selector",
        "asyncio WARNING Executing <",
        "router.session INFO qfex: ready",
        "LoginRefused",
        "login refused",
        "handshake was answered with HTTP 404",
        "cannot connect to 127.0.0.1:1",
        "CancelRefused",
        "64 hexadecimal digits",
        "CONFIRMED",
        "UNKNOWN",
    ):
        assert evidence in text, "what is searched has not been shown at all"


@pytest.mark.parametrize("leak", ["dmex private key", "api_key in a url", "read off the wire, 0"])
def test_the_search_finds_a_secret_that_is_logged(tmp_path, leak):
    secrets, text = played(tmp_path, leak)
    assert shown(secrets, text) == {leak}


if __name__ == "__main__":
    main(*sys.argv[1:])
