"""Whose an answer is: the unanswered requests of one connection, without a connection."""

from hypothesis import given
from hypothesis import strategies as st

from router.matching import Outstanding, Pending
from router.venue import Answer, Effect, Wire


def pending(*keys):
    return Pending(Wire(keys=keys, effect=Effect.IDEMPOTENT), 0.0)


def line(*members):
    outstanding = Outstanding()
    for each in members:
        outstanding.add(each)
    return outstanding


A, B, ADD_A = ("cancel", "a"), ("cancel", "b"), ("add", "a")


def test_an_answer_goes_to_the_oldest_that_holds_its_key():
    first, second = pending(A), pending(A)
    outstanding = line(pending(B), first, second)
    assert outstanding.match(Answer(keys=(A,))) == [first]
    outstanding.discard(first)
    assert outstanding.match(Answer(keys=(A,))) == [second]


def test_the_first_key_that_anyone_holds_decides():
    add, cancel = pending(ADD_A), pending(A)
    outstanding = line(add, cancel)
    assert outstanding.match(Answer(keys=(B, A, ADD_A))) == [cancel]
    assert outstanding.match(Answer(keys=(ADD_A, A))) == [add]


def test_an_answer_whose_keys_nobody_holds_is_nobodys():
    assert line(pending(A)).match(Answer(keys=(B,))) == []
    assert line(pending(A)).match(Answer()) == []


def test_an_answer_for_all_goes_to_each_holder_once():
    both, one = pending(A, B), pending(B)
    outstanding = line(both, one, pending(ADD_A))
    assert outstanding.match(Answer(keys=(A, B), all=True)) == [both, one]


def test_an_answer_that_could_be_either_rivals_is_nobodys():
    cancel, add = pending(A), pending(ADD_A)
    outstanding = line(cancel, add)
    either = Answer(keys=(A, ADD_A), rivals=frozenset({"cancel", "add"}))
    assert outstanding.match(either) == []
    outstanding.discard(cancel)
    assert outstanding.match(either) == [add]


def test_two_requests_of_one_verb_are_no_rivals():
    first = pending(A)
    outstanding = line(first, pending(A))
    assert outstanding.match(Answer(keys=(A, ADD_A), rivals=frozenset({"cancel", "add"}))) == [first]


def test_a_nameless_answer_counts_only_for_the_sole_candidate():
    cancel, add = pending(A), pending(ADD_A)
    outstanding = line(cancel, add)
    assert outstanding.match(Answer(sole=True)) == []
    assert outstanding.match(Answer(keys=(("cancel", ""),), sole=True)) == [cancel]
    outstanding.discard(cancel)
    assert outstanding.match(Answer(sole=True)) == [add]
    assert outstanding.match(Answer(keys=(("cancel", ""),), sole=True)) == []


def test_forgetting_a_stranger_or_one_twice_harms_nobody():
    kept, gone = pending(A), pending(A)
    outstanding = line(kept, gone)
    outstanding.discard(gone)
    outstanding.discard(gone)
    outstanding.discard(pending(A))
    assert (list(outstanding), len(outstanding)) == ([kept], 1)
    assert outstanding.match(Answer(keys=(A,))) == [kept]


def test_one_that_holds_a_key_twice_is_forgotten_whole():
    double = pending(A, A)
    outstanding = line(double)
    outstanding.discard(double)
    assert outstanding.match(Answer(keys=(A,))) == []
    assert not outstanding._by_key


def test_clearing_gives_all_back_oldest_first():
    members = [pending(A), pending(B), pending()]
    outstanding = line(*members)
    assert outstanding.clear() == members
    assert (len(outstanding), outstanding.match(Answer(keys=(A,)))) == (0, [])


keys = st.tuples(st.sampled_from(["cancel", "add", "set"]), st.sampled_from(["a", "b", ""]))
several = st.lists(keys, max_size=4).map(tuple)
answers = st.builds(
    Answer,
    keys=several,
    all=st.booleans(),
    sole=st.booleans(),
    rivals=st.frozensets(st.sampled_from(["cancel", "add"])),
)
steps = st.lists(st.one_of(several, answers, st.integers(0, 20)), max_size=30)


@given(steps)
def test_whatever_was_added_matched_and_forgotten_leaves_nothing_behind(plan):
    outstanding, known, held = Outstanding(), [], []
    for step in plan:
        if isinstance(step, tuple):
            known.append(pending(*step))
            held.append(known[-1])
            outstanding.add(known[-1])
        elif isinstance(step, Answer):
            matched = outstanding.match(step)
            assert len(set(matched)) == len(matched)
            assert set(matched) <= set(held)
            assert step.all or len(matched) <= 1
        elif known:
            forgotten = known[step % len(known)]
            outstanding.discard(forgotten)
            held = [each for each in held if each is not forgotten]
        assert list(outstanding) == held
    for each in known:
        outstanding.discard(each)
    assert len(outstanding) == 0
    assert not outstanding._all
    assert not outstanding._by_key
