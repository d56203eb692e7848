"""Cases about what must never happen: a secret that is shown, and a frame that means what it does not say."""

from __future__ import annotations

import copy
import json
import logging
import random
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import attrs
from msgspec.structs import replace

from router.errors import Garbled, RouterError
from router.ledger import Ledger
from router.matching import Outstanding, Pending
from router.model import Cancel, IdKind
from router.report import Outcome
from router.session import Session
from router.testing.bench import Verb
from router.testing.conformance.case import Nonconformity, NotApplicable, case, require
from router.testing.conformance.silence import by_deadline
from router.testing.conformance.stage import HASTY, PATIENT, VENUE, Stage
from router.testing.conformance.trace import Heard
from router.testing.faults import Fault
from router.venue import Answer, Codec, Execution, Frame, Item, Snapshot, read

__all__: list[str] = []

SECRET_NAMES = ("secret", "token", "private", "password", "passphrase", "jwt", "mnemonic", "apikey", "api_key")
SHORTEST = 6  # characters of a text that would be found by chance
NEVER_HEARD = "ZZ_NEVER_HEARD_OF"
NOT_THE_DEED = (302, 418, 500, 599)  # whatever the body says
RANDOM = 1500
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1.5e300,
    "",
    "\ud800",
    "NaN",
    "1e999999",
    [],
    {},
    [[[]]],
    {"": None},
    NEVER_HEARD,
)


# -- secrets


@case(19, "secrets never shown", "No key, token or signature is in any log, repr, report or exception.")
async def secrets(stage: Stage) -> None:
    with _listening() as lines:
        async with stage.connected() as router:
            target = await stage.target()
            reports = [
                await router.cancel(target.cancel, deadline=PATIENT),
                await router.cancel(target.cancel, deadline=PATIENT),
            ]
            for fault in _possible(stage, Fault.GARBLE, Fault.SERVER_ERROR):
                stage.strike(Verb.CANCEL, fault)
                reports.append(await by_deadline(router.cancel((await stage.target()).cancel, deadline=HASTY)))
                stage.calm()
            lines += [f"{each}\n{each!r}\n{attrs.asdict(each, recurse=False)}\n{each.raw}" for each in reports]
            lines += [f"{router}{router!r}{router.health()}{stage.spec}"]
        for changes in (stage.bench.setups()[stage.setup], *stage.bench.logins().values()):
            await _echoed(stage, changes, lines)
        adapter = stage.bench.adapter(stage.subject.adapter, stage.bench.setups()[stage.setup])
        lines += [f"{adapter}{adapter!r}{vars(adapter)}"]
        for changes in stage.bench.wrong().values():
            await _refused(stage, changes, lines)
    texts = "\n".join(lines)
    proofs = [("the proof of a login", text) for text in stage.trace.proofs]
    for name, secret in [*_hidden(stage), *proofs]:
        if secret in texts:
            raise Nonconformity(f"{name} is shown: {_where(texts, secret)}")


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Everything that is logged, at DEBUG."""
    lines: list[str] = []
    handler, root = logging.Handler(), logging.getLogger()
    cast("Any", handler).emit = lambda record: lines.append(f"{record.getMessage()} {record.exc_info or ''}")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


async def _echoed(stage: Stage, changes: Mapping[str, Any], lines: list[str]) -> None:
    """The venue repeats, in its words, whatever of our secrets it was sent."""
    stage.trace.sent.clear()
    stage.sim.received.clear()
    async with stage.connected(changes):
        await stage.target()
    sent = "\n".join([*stage.trace.sent, *(f"{item.headers} {item.message}" for item in stage.sim.received)])
    stage.trace.echo = " ".join(secret for _, secret in _hidden(stage) if secret in sent)
    try:
        async with stage.connected(changes) as router:
            report = await router.cancel((await stage.target()).cancel, deadline=PATIENT)
            unknown = Cancel(VENUE, stage.bench.unknown(IdKind.ORDER), IdKind.ORDER, stage.bench.SYMBOL)
            refused = await router.cancel(unknown, deadline=PATIENT)
            lines += [f"{each}\n{each!r}\n{attrs.asdict(each, recurse=False)}" for each in (report, refused)]
    finally:
        stage.trace.echo = ""


def _possible(stage: Stage, *faults: Fault) -> list[Fault]:
    try:
        return stage.faults(Verb.CANCEL, *faults)
    except NotApplicable:
        return []


async def _refused(stage: Stage, changes: Mapping[str, Any], lines: list[str]) -> None:
    try:
        async with stage.connected(changes):
            pass
    except (RouterError, ValueError) as error:
        lines += [*traceback.format_exception(error), repr(error), str(vars(error))]


def _hidden(stage: Stage) -> list[tuple[str, str]]:
    """What must not be shown, with a name for it."""
    given = [stage.sim.credentials, *stage.bench.wrong().values(), *stage.bench.logins().values()]
    found = [pair for each in given for pair in _secrets(each)]
    found += [("a secret of the codec", text) for text in stage.trace.secrets]
    return [(name, text) for name, text in found if len(text) >= SHORTEST]


def _secrets(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _secrets(value)
        elif isinstance(value, str) and any(word in name.lower() for word in SECRET_NAMES):
            yield name, value


def _where(texts: str, secret: str) -> str:
    at = texts.index(secret)
    return f"...{texts[max(0, at - 80) : at]}(here)..."


# -- frames


@case(
    20,
    "any mutation of a real frame",
    "A damaged frame is read or Garbled, and an unknown word never makes an answer of another kind.",
)
async def mutations(stage: Stage) -> None:
    codec = await _tour(stage)
    heard = list({(each.frame.body, each.frame.status): each for each in stage.trace.heard}.values())
    require(heard, "no frame was heard")
    for each in heard:
        again = _outcomes(_read(codec, each.frame))
        require(again == _outcomes(each.items), f"{each.frame.body[:200]!r} is read as {again} the second time")
        for frame in _unknown_words(each.frame):
            _no_other_kind(codec, each, frame)
        for status in NOT_THE_DEED if each.frame.wire is not None else ():
            _undecided(codec, replace(each.frame, status=status))
        _about_another(stage, codec, each)
    chance = random.Random(20)  # noqa: S311 - a seed, so that a failure can be repeated
    for _ in range(RANDOM):
        frame = _damaged(chance.choice(heard).frame, chance)
        _taken(_read(codec, frame), frame)


async def _tour(stage: Stage) -> Codec:
    """A little of everything, for the frames. The codec itself, without the trace."""
    adapter = stage.adapter()
    stage.needs(isinstance(adapter, Session), "the venue has no codec")
    async with stage.connected() as router:
        for kind in sorted(stage.spec.cancel_kinds):
            await router.cancel((await stage.target(kind)).cancel, deadline=PATIENT)
            await router.cancel(Cancel(VENUE, stage.bench.unknown(kind), kind, stage.bench.SYMBOL), deadline=PATIENT)
        target = await stage.target()
        await stage.bench.fill(target.order_id, target.order.quantity / 4)
        if stage.spec.lists:
            await router.open_orders(VENUE)
        await stage.bench.fill(target.order_id)
        await router.cancel(target.cancel, deadline=PATIENT)
        for refusal in [each for each in stage.bench.REFUSALS if each.verb is Verb.SUBMIT][:3]:
            stage.bench.refuse(refusal)
            await router.submit(stage.bench.order(), deadline=PATIENT)
    return cast("Codec", adapter._codec._codec)  # type: ignore[attr-defined]  # noqa: SLF001


def _read(codec: Codec, frame: Frame) -> list[Item]:
    try:
        return read(codec, frame, 1_760_000_000.0)
    except Garbled:
        return []


def _outcomes(items: Iterable[Item]) -> set[Outcome]:
    """The verdicts among them."""
    return {
        item.outcome
        for item in items
        if isinstance(item, Answer) and item.outcome in {Outcome.CONFIRMED, Outcome.REFUSED} and item.retry is None
    }


def _no_other_kind(codec: Codec, heard: Heard, frame: Frame) -> None:
    new = _outcomes(_read(codec, frame)) - _outcomes(heard.items)
    if new and _outcomes(heard.items):
        said, read_as = heard.frame.body[:300], next(iter(new)).name
        raise Nonconformity(f"{said!r} is {_outcomes(heard.items)}; as {frame.body[:300]!r} it is read as {read_as}")


def _undecided(codec: Codec, frame: Frame) -> None:
    found = _outcomes(_read(codec, frame))
    require(not found, f"HTTP {frame.status} is read as {found}, with the body {frame.body[:200]!r}")


def _about_another(stage: Stage, codec: Codec, heard: Heard) -> None:
    """Over HTTP a cancel is answered by its request; an answer that names another order decides nothing all the same."""
    named = {item.order_id for item in heard.items if isinstance(item, Answer) and item.order_id}
    wire = heard.frame.wire
    for order_id in named if wire is not None and wire.method == "DELETE" else ():
        other = heard.frame.body.replace(order_id.encode(), stage.bench.unknown(IdKind.ORDER).encode())
        if other != heard.frame.body:
            found = _outcomes(_read(codec, replace(heard.frame, body=other)))
            require(not found, f"an answer about another order is read as {found}: {other[:200]!r}")


def _unknown_words(frame: Frame) -> Iterator[Frame]:
    """The frame with each of its texts replaced by one that nobody has ever heard, and with each of its keys left out."""
    value = _value(frame)
    for path in _paths(value):
        if isinstance(_at(value, path), str):
            yield _with(frame, value, path, NEVER_HEARD)
        if path and isinstance(path[-1], str):
            yield _with(frame, value, path, ...)


def _damaged(frame: Frame, chance: random.Random) -> Frame:
    """The frame with some of its parts replaced, and sometimes its bytes broken."""
    value = _value(frame)
    for _ in range(chance.randint(1, 3)):
        path = chance.choice(list(_paths(value)))
        frame = _with(frame, value, path, chance.choice(ODD))
        value = _value(frame)
    body = frame.body
    at = chance.randint(0, len(body))
    cut = chance.choice((body, body, body[:at], body + body, body[:at] + chance.randbytes(3) + body[at:]))
    return replace(frame, body=cut)


def _value(frame: Frame) -> Any:
    try:
        return json.loads(frame.body)
    except ValueError:
        return None


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside a value, itself included."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _paths(each, (*path, key))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _with(frame: Frame, value: Any, path: tuple[Any, ...], new: Any) -> Frame:
    """The frame with another value at this path; with none for `...`."""
    if not path:
        return replace(frame, body=json.dumps(None if new is ... else new).encode())
    value = copy.deepcopy(value)
    holder = _at(value, path[:-1])
    if new is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return replace(frame, body=json.dumps(value).encode())


def _taken(items: list[Item], frame: Frame) -> None:
    """What was read does no harm to what takes it in."""
    ledger, line = Ledger(VENUE), Outstanding()
    if frame.wire is not None:
        line.add(Pending(frame.wire, 0.0))
    for item in items:
        rows = item.rows if isinstance(item, Snapshot) else (item,) if isinstance(item, Execution) else ()
        for row in rows:
            ledger.apply(row, 0.0)
        if isinstance(item, Answer):
            line.match(item)
