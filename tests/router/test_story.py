"""The story of an order: what each entry says, what became of it, and where a process ended in between."""

import json
import re

import pytest
from attrs import evolve

from router.journal.reading import Told
from router.story import Run, in_doubt, tell
from router.story.wording import cut, number, terms

ORDER = {"side": "buy", "quantity": "3", "symbol": "T", "price": "200.0", "type": "limit", "client_order_id": "c1"}
STATE = ORDER | {"order_id": "o1", "status": "new", "cum_quantity": "0"}


def entry(what, op="s1", *, run=1, at=0.0, order_id=None, client="c1", **facts):
    entry.number += 1
    names = {"op": op, "venue": "toy", "what": what, "order_id": order_id, "client_order_id": client}
    return Told(number=entry.number, run=run, at=at, facts=facts, **names)


entry.number = 0


def submit(**changes):
    return entry(
        "intent", verb="submit", command=ORDER, state=STATE | {"order_id": None, "status": "pending_new"}, **changes
    )


def cancel(op="x1", **facts):
    command = facts.pop("command", {"id": "o1", "kind": "order"})
    return entry("intent", op, order_id="o1", client=None, verb="cancel", command=command, **{"sent": 1, **facts})


def event(exec_type, status, **more):
    state = STATE | {"status": status} | {key: value for key, value in more.items() if key == "cum_quantity"}
    told = {"exec_type": exec_type, "status": status, "text": "", **more}
    return entry("execution", order_id="o1", event=told, state=state)


def last(*told):
    return tell(told).lines[-1].text


# -- one sentence for each entry


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "buy 3 T at 200 (limit)"),
        ({"type": "stop", "price": None, "stop_price": "150"}, "buy 3 T when 150 is reached (stop)"),
        ({"post_only": True, "time_in_force": "gtc"}, "buy 3 T at 200 (limit, gtc, post only)"),
        ({"quantity": "0.00000001", "price": "1000"}, "buy 0.00000001 T at 1000 (limit)"),
        ({"quantity": None}, "buy ? T at 200 (limit)"),
    ],
)
def test_an_order_is_said_in_words(changes, words):
    assert terms(ORDER | changes) == words
    assert last(submit()) == "The Router was asked to buy 3 T at 200 (limit). Written down before it was sent."


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "to cancel the order. Sent to toy at once, and written down beside that."),
        ({"sent": 0}, "to cancel the order. Written down."),
        ({"sent": 0, "nonce": "7"}, "to cancel the order. Written down before it was sent."),
        ({"of": "s1"}, "The venue has not named that order yet, so the cancel is held until it does. Written down."),
        ({"command": {"id": "c1", "kind": "client_order"}}, "to cancel whatever has the client id c1."),
    ],
)
def test_a_cancel_says_how_it_was_written_down(facts, words):
    assert words in last(cancel(**facts))


def test_a_change_names_the_new_terms():
    said = last(
        entry("intent", "r1", verb="replace", command={"price": "201.50", "quantity": None, "stop_price": None})
    )
    assert said == "The Router was asked to change the order: price 201.5. Written down before it was sent."


@pytest.mark.parametrize(
    ("facts", "scope"),
    [
        (
            {"targets": ["o1", "o2"]},
            "every open order of the account on toy. Written down; 2 orders were known to be open.",
        ),
        (
            {"symbol": "T", "own": True, "targets": ["o1"]},
            "placed through this journal in T on toy. Written down; 1 order was",
        ),
        ({"targets": []}, "no orders were known to be open."),
    ],
)
def test_a_cancel_all_says_its_scope(facts, scope):
    assert scope in last(entry("intent", "m1", client=None, verb="cancel_all", **facts))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "toy said OK: it has received the cancel, and has not said what became of it."),
        ("unknown", "toy said OK: that leaves the cancel in doubt."),
        ("refused", "toy said OK: that does not settle the cancel."),
        ("confirmed", "toy said OK: that is a part of the answer to the cancel."),
        ("a new word", "toy said OK: that leaves the cancel in doubt."),
    ],
)
def test_an_answer_that_settles_nothing(outcome, words):
    assert last(cancel(), entry("answer", "x1", outcome=outcome, text="OK")) == words


def test_what_happens_on_the_way():
    begun = submit()
    assert last(begun, entry("sent", attempt=1)) == "Sent the submit to toy."
    assert last(cancel(), entry("sent", "x1", attempt=2)) == "Sent the cancel to toy again: attempt 2."
    assert last(begun, entry("lost")) == "The connection was lost before toy had answered the submit."
    assert (
        last(begun, entry("unknown", text="no answer.")) == "The caller was told that the submit is UNKNOWN: no answer."
    )


@pytest.mark.parametrize(
    ("happened", "words"),
    [
        (("new", "new", {"text": "ACK"}), "toy said ACK: the order is open as o1."),
        (("trade", "partially_filled", {"last_quantity": "1.0", "last_price": "9", "cum_quantity": "1"}), "The order traded 1 at 9: it is partly filled (1 of 3 filled)."),
        (("trade", "filled", {"last_quantity": "2", "last_price": None, "cum_quantity": "3"}), "The order traded 2: it is filled (3 of 3)."),
        (("canceled", "canceled", {"text": "CANCELLED", "cum_quantity": "1"}), "toy said CANCELLED: the order is cancelled (1 of 3 filled)."),
        (("order_status", "new", {}), "toy showed the order: the order is open."),
        (("replaced", "new", {"text": "MODIFIED"}), "toy said MODIFIED: the order is now buy 3 T at 200."),
        (("triggered", "new", {}), "toy showed the order: the stop was triggered."),
        (("order_status", None, {}), "toy showed the order: the order is changed."),
    ],
)  # fmt: skip
def test_what_happens_to_an_order(happened, words):
    exec_type, status, more = happened
    assert last(submit(), event(exec_type, status, **more)) == words


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (entry("confirmed", outcome="confirmed", text="ACK", frame="{}"), "toy answered ACK. So the submit is CONFIRMED."),
        (entry("refused", outcome="refused", text="", frame="{}"), "toy answered. So the submit is REFUSED."),
        (entry("refused", outcome="refused"), "The submit is REFUSED."),
        (entry("refused", outcome="refused", text="NO MONEY", frame="{}"), "toy answered NO MONEY. So the submit is REFUSED."),
        (entry("not_sent", outcome="not_sent", text="not connected"), "The submit was NOT SENT: not connected."),
        (entry("resolved", outcome="confirmed", text="the venue named the order later"), "Learnt later: the venue named the order later. So the submit is CONFIRMED."),
        (
            entry("resolved", outcome="refused", origin="router", notes=["the connection was lost before the answer", "not there"]),
            "Asked toy twice after its quiet period: not there. So it was not placed: the submit is REFUSED, by the Router and not by toy.",
        ),
        (
            entry("resolved", outcome="refused", origin="router", notes=["not there"], quiet_period=10.0),
            "Asked toy twice after its quiet period of 10 s: not there. So it was not placed: the submit is REFUSED, by the Router and not by toy.",
        ),
        (
            entry("resolved", outcome="confirmed", origin="operator", operator="eve", note="saw it", **{"as": "placed"}),
            "The operator eve settled the submit by hand, as placed: it is CONFIRMED; noted: saw it.",
        ),
    ],
)  # fmt: skip
def test_what_came_of_a_submit(told, words):
    assert last(submit(), told) == words


def test_a_cancel_that_came_too_late_says_what_had_become_of_the_order():
    told = [submit(), cancel(), event("order_status", "filled", cum_quantity="3")]
    told.append(
        entry("refused", "x1", order_id="o1", client=None, outcome="refused", reason=0, status="filled", frame="{}")
    )
    assert (
        last(*told)
        == "The cancel came too late: the order had been filled (3 of 3). It is REFUSED, TOO_LATE_TO_CANCEL."
    )
    assert tell(told).heading[1] == "It was filled (3 of 3). A cancel came too late."


def late_cancel(*between, run=1):
    told = [submit(), event("new", "new"), cancel(), *between]
    facts = {"outcome": "refused", "reason": 0, "status": "filled", "frame": "{}"}
    return [*told, entry("resolved", "x1", order_id="o1", client=None, run=run, **facts)]


def test_a_fill_that_was_told_after_a_cancel_was_given_up_is_not_said_to_have_come_before_it():
    told = [entry("unknown", "x1", order_id="o1", client=None, text="no answer")]
    told = late_cancel(*told, event("trade", "filled", cum_quantity="3"))
    assert last(*ordered(told)) == (
        "Learnt later: the order is filled (3 of 3), which was told only after the cancel had been given up. "
        "So the cancel is REFUSED, TOO_LATE_TO_CANCEL."
    )
    assert tell(ordered(told)).heading[1] == "It was filled (3 of 3)."
    told = late_cancel(event("trade", "filled", cum_quantity="3"), entry("unknown", "x1", order_id="o1", client=None))
    assert last(*ordered(told)).startswith(
        "Learnt later: the cancel came too late: the order had been filled (3 of 3)."
    )
    assert tell(ordered(told)).heading[1] == "It was filled (3 of 3). A cancel came too late."


def test_what_a_dead_process_had_sent_is_not_said_to_have_reached_the_venue_before_the_fill():
    told = late_cancel(evolve(event("trade", "filled", cum_quantity="3"), run=2), run=2)
    assert "which was told only after the cancel had been given up" in last(*ordered(told))


def ordered(told):
    """Numbered as they stand."""
    return [evolve(each, number=number) for number, each in enumerate(told, 1)]


def test_an_order_whose_place_a_new_one_took():
    gone = event("canceled", "canceled", text="replaced", origin="client")
    assert last(submit(), gone) == "A new order took its place: the order is cancelled."
    theirs = event("canceled", "canceled", text="replaced", origin="venue")
    assert last(submit(), theirs) == "toy said replaced: the order is cancelled."
    command = ORDER | {"options": {"replace_hash": "o1"}}
    said = last(entry("intent", "s2", verb="submit", command=command))
    assert said.startswith("The Router was asked to replace order o1 by a new one: buy 3 T at 200 (limit). Written")


def test_the_heading_has_the_terms_that_the_order_has_now():
    changed = event("replaced", "new")
    state = changed.facts["state"] | {"price": "201.50", "quantity": "5", "stop_price": "7"}
    changed = evolve(changed, facts=changed.facts | {"state": state})
    assert tell([submit(), changed]).heading[0] == "toy, order o1: buy 5 T at 201.5 (limit), client id c1."


def test_what_nothing_more_can_be_learnt_of_is_said_to_rest():
    assert last(cancel(), entry("unknown", "x1", rest=True, text="gone, cause unknown")) == (
        "Asking tells nothing more of the cancel: gone, cause unknown. It is in doubt until somebody settles it by hand."
    )


def test_nobody_is_said_to_have_asked_for_a_cancel():
    """It may be one of cancel_all's, or that of a submit in doubt."""
    said = last(cancel(command={"id": "c1", "kind": "client_order"}))
    assert said.startswith("The Router began to cancel whatever has the client id c1. Sent to toy at once")


def test_commands_of_one_kind_are_told_apart():
    told = [cancel("x1"), cancel("x2"), entry("lost", "x2"), entry("lost", "x1"), cancel("x3"), entry("lost", "x3")]
    lines = [line.text for line in tell(told).lines]
    assert "to cancel the order (the second cancel). Sent" in lines[1]
    assert lines[2].endswith("answered the second cancel.")
    assert lines[3].endswith("answered the cancel.")
    assert lines[5].endswith("answered the third cancel.")


def test_an_attempt_that_was_written_twice_is_told_once_with_its_frame():
    told = [cancel(), entry("sent", "x1", attempt=2), entry("sent", "x1", attempt=2, frame="bytes")]
    (_, again) = tell(told).lines
    assert (again.text, again.frame) == ("Sent the cancel to toy again: attempt 2.", "bytes")


def test_an_entry_with_nothing_in_it_or_of_a_later_version_is_told_all_the_same():
    whats = (
        "intent",
        "sent",
        "answer",
        "lost",
        "unknown",
        "execution",
        "confirmed",
        "refused",
        "not_sent",
        "resolved",
        "new",
    )
    for op in ("s1", None):
        for what in whats:
            story = tell([entry(what, op, client=None)])
            assert re.fullmatch(r"\S.*\.", story.lines[0].text), what
    assert tell([]).lines == tell([]).heading == ()


def test_facts_of_the_wrong_kind_are_no_error():
    wrong = {"command": "x", "state": 7, "event": [], "text": {"a": 1}, "notes": None, "targets": None, "frame": 5}
    for what in ("intent", "execution", "refused", "resolved", "sent"):
        for verb in ("submit", "cancel", "replace", "cancel_all"):
            story = tell([entry(what, verb=verb, order_id="o1", **wrong)])
            assert story.lines[0].text.endswith(".")


# -- words


def test_words_are_cut_and_numbers_plain():
    assert cut("x" * 1000) == "x" * 200 + "..."
    assert cut(None) == ""
    assert [number(value) for value in ("1.50", "1E+3", "0.0", "NaN", "nonsense", None)] == [
        "1.5",
        "1000",
        "0",
        "NaN",
        "nonsense",
        "?",
    ]
    assert len(number("1E+999999")) < 20


# -- headings


@pytest.mark.parametrize(
    ("rest", "fate"),
    [
        ([], "It is not known whether it was placed."),
        ([entry("not_sent", outcome="not_sent", text="no room")], "It was never sent."),
        ([entry("refused", outcome="refused", text="NO MONEY")], "toy refused it: NO MONEY."),
        ([entry("resolved", outcome="refused", origin="router")], "It was not placed."),
        ([event("new", "new"), entry("confirmed", order_id="o1", outcome="confirmed")], "It is open, as far as the journal knows."),
        ([event("canceled", "canceled", cum_quantity="1")], "It was cancelled (1 of 3 filled)."),
        ([event("expired", "expired")], "It expired."),
        ([event("new", "new"), cancel()], "It is open, as far as the journal knows. It is not known what became of a cancel of it."),
    ],
)  # fmt: skip
def test_the_heading_says_what_became_of_it(rest, fate):
    heading = tell([submit(), *rest]).heading
    assert heading[-1] == fate
    named = "order o1" if any(each.order_id for each in rest) else "an order that the venue has not named"
    assert heading[0] == f"toy, {named}: buy 3 T at 200 (limit), client id c1."


def test_an_order_that_was_not_placed_here_is_told_as_that():
    told = [
        cancel(),
        entry("confirmed", "x1", order_id="o1", client=None, outcome="confirmed", text="gone", frame="{}"),
    ]
    assert tell(told).heading == (
        "toy, order o1, of which the journal has no submit.",
        "What became of it is not written.",
    )


def test_a_cancel_all_by_itself():
    begun = entry("intent", "m1", client=None, verb="cancel_all", targets=[])
    assert tell([begun]).heading == ("toy, a cancel-all: what became of it is not known.",)
    ended = entry("confirmed", "m1", client=None, outcome="confirmed", text="repr")
    assert tell([begun, ended]).heading == ("toy, a cancel-all: CONFIRMED.",)
    assert (
        tell([begun, ended]).lines[-1].text
        == "toy showed twice, freshly, that nothing in scope was open. So the cancel-all is proven."
    )


def test_what_is_in_doubt():
    told = [submit(), cancel("x1"), entry("unknown", "x1"), cancel("x2"), entry("confirmed", "x2", outcome="confirmed")]
    assert [each.op for each in in_doubt(told)] == ["s1", "x1"]


# -- processes


def test_a_process_that_died_between_two_entries_is_told():
    runs = [Run(1, 11, "host", 0.0, None, 5.5), Run(2, 22, "host", 9.0, None, 12.0)]
    lines = tell([submit(at=5.0), entry("resolved", run=2, at=11.0, outcome="confirmed", text="seen")], runs).lines
    assert [line.at for line in lines] == [5.0, 9.0, 11.0]
    assert (
        lines[1].text
        == "Process 11 ended without closing the journal, after 00:00:05.500: it was killed, or it crashed. Process 22 opened the journal."
    )
    assert lines[1].told is None


def test_a_process_that_ended_in_order_is_told_as_that():
    runs = [Run(1, 11, "host", 0.0, 6.0, 5.5), Run(2, 22, "host", 9.0)]
    told = [submit(), event("new", "new"), cancel(run=None)]
    told[-1:] = [entry("intent", "x1", run=2, order_id="o1", verb="cancel", command={}, sent=1)]
    assert (
        tell(told, runs).lines[2].text
        == "Process 11 closed the journal in order at 00:00:06.000. Process 22 opened the journal."
    )


def test_what_is_open_is_followed_to_the_last_process_and_what_has_ended_is_not():
    runs = [Run(number, number, "host", float(number)) for number in range(1, 4)]
    assert len(tell([submit(), event("new", "new")], runs).lines) == 4
    assert (
        len(tell([submit(), event("canceled", "canceled"), entry("confirmed", outcome="confirmed")], runs).lines) == 3
    )


def test_many_processes_that_said_nothing_are_counted():
    runs = [Run(number, number, "host", float(number)) for number in range(1, 101)]
    lines = tell([submit()], runs).lines
    assert len(lines) == 5
    assert lines[1].text == "The journal was opened 96 times without a word of it."
    lines = tell([submit()], runs[:5]).lines
    assert lines[1].text == "The journal was opened once without a word of it."


def test_a_story_can_be_written_as_json():
    assert json.loads(json.dumps([line.text for line in tell([submit()]).lines]))


def test_a_process_that_is_known_to_be_dead_is_told_where_something_is_open():
    dead = [Run(1, 11, "host", 0.0, None, 5.5, lives=False)]
    assert (
        tell([submit()], dead)
        .lines[-1]
        .text.endswith("it was killed, or it crashed. Nobody has opened the journal since.")
    )
    assert len(tell([submit()], [Run(1, 11, "host", 0.0, None, 5.5)]).lines) == 1
    assert (
        len(tell([submit(), entry("refused", outcome="refused", state=STATE | {"status": "rejected"})], dead).lines)
        == 2
    )
