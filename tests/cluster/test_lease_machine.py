"""The rules of a lease against a world that may do anything but turn back time: never two that may write.

Three gateways, each with a clock of its own that is up to half a percent fast or slow, and one record that is kept by compare-and-set.
Requests arrive late, also long after they were given up; answers get lost; processes stand still and die; NATS goes away, and
loses everything.
"""

import pytest
from attrs import define, field, frozen
from hypothesis import HealthCheck, Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from router.cluster.ownership import holding, standingby
from router.cluster.ownership.holding import Holding
from router.cluster.ownership.leasing import Found, Look, Read, Record, Wait, Write
from router.cluster.ownership.standingby import Standby

TTL = 1.0
RATES = [0.995, 1.0, 1.005]
JOURNALS = ["shared", "shared", "other"]
ANY = None
"""The revision that a write is against if it is not by compare-and-set: only a mistake writes so."""

FATES = ["is answered", "is not answered", "arrives", "is on its way"]
FAULTS = [
    *("stands_still", "wakes", "dies", "is_started_again", "opens_its_journal", "leaves"),
    *("nats_goes", "nats_comes", "nats_loses_everything"),
]

some = st.integers(0, 5)
"""Which gateway."""
short = st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.25])
long = st.sampled_from([0.4, 0.55, 0.79, 0.8, 0.95, 1.0, 1.1, 2.5])


class Bucket:
    """The record. forgets: after a loss its revisions are the same again."""

    forgets = False

    def __init__(self):
        self.found = Found(0, Record())
        self._next = 1
        self.is_up = True

    def do(self, step):
        if isinstance(step, Read):
            return self.found
        if step.last is not ANY and step.last != self.found.revision:
            return 0
        self.found = Found(self._next, step.record)
        self._next += 1
        return self.found.revision

    def lose(self):
        self.found = Found(0, Record())
        self._next = 1 if self.forgets else self._next + 1000


@define(eq=False)
class Journal:
    """A gateway's journal, or that of two gateways on one machine."""

    name: str
    epoch: int = 0
    holder: "Gateway | None" = None


@frozen
class Identity:
    id: str
    place: str
    epoch: int
    is_held: bool


@define(eq=False)
class Request:
    step: Read | Write
    answer: object = None
    has_arrived: bool = False


@define(eq=False)
class Gateway:
    """A process, what it awaits, and the journal that it may open while it has the lease."""

    name: str
    rate: float
    ttl: float
    journal: Journal
    party: Standby | Holding = field(init=False)
    request: Request | None = None
    is_alive: bool = True
    is_paused: bool = False
    ends: int = 0

    def __attrs_post_init__(self):
        self.stand_by()

    def stand_by(self):
        self.request, self.is_alive, self.is_paused = None, True, False
        self.party = Standby(self.name, self.ttl)

    @property
    def can_act(self):
        return self.is_alive and not self.is_paused

    @property
    def owns(self):
        return isinstance(self.party, Holding)

    def identity(self):
        return Identity(self.journal.name, "here", self.journal.epoch, self.journal.holder is not None)

    def step(self, now):
        """Until it awaits something."""
        while isinstance(step := self.party.step(now), Look):
            self.party.looked(self.identity())
        if not isinstance(step, Wait):
            self.request = Request(step)
        return step

    def told(self, now, request):
        if isinstance(request.step, Read):
            self.party.read(now, request.answer)
        else:
            self.party.wrote(now, request.answer)

    def let_go(self):
        if self.journal.holder is self:
            self.journal.holder = None


class Leases(RuleBasedStateMachine):
    @initialize(mixed=st.booleans(), rates=st.permutations(RATES))
    def begin(self, mixed, rates):
        self.now = 1000.0
        self.bucket = Bucket()
        self.mixed = mixed  # a TTL that is not the others'; then nothing gets lost, for a new bucket does not tell it
        journals = {name: Journal(name) for name in JOURNALS}
        ttls = [TTL, TTL, 1.5 * TTL if mixed else TTL]
        self.gateways = [
            Gateway(f"g{number}", rates[number], ttls[number], journals[JOURNALS[number]]) for number in range(3)
        ]
        self.late = []
        self.tenures = {}
        self.latest = ""

    # -- what is

    def local(self, gateway):
        return self.now * gateway.rate

    def writers(self):
        return [each for each in self.gateways if each.owns and each.is_alive and self.local(each) < each.party.until]

    def check(self):
        """Also between the steps of a rule."""
        writers = self.writers()
        assert len(writers) <= 1, f"two may write: {writers}"
        for each in writers:
            tenure, epoch = each.party.tenure, each.party.epoch
            if tenure != self.latest:
                assert tenure not in self.tenures, f"{tenure} is back"
                assert epoch > max(self.tenures.values(), default=0), (
                    f"epoch {epoch} is not the highest: {self.tenures}"
                )
                self.tenures[tenure], self.latest = epoch, tenure

    @invariant()
    def never_two(self):
        if hasattr(self, "now"):
            self.check()

    # -- one thing at a time

    def which(self, number):
        """One of them; the owner, if there is one, as often as not."""
        owners = [each for each in self.gateways if each.owns]
        return owners[0] if number > 2 and owners else self.gateways[number % 3]

    @rule(which=some, fate=st.sampled_from(FATES), turns=st.integers(1, 3))
    def acts(self, which, fate, turns):
        gateway = self.which(which)
        for _ in range(turns):
            self.go(gateway)
            if fate != "is on its way":
                self.arrive(gateway)
            if fate == "is answered":
                self.answer(gateway)
            elif fate == "is not answered":
                self.give_up(gateway)
            self.check()

    @rule(which=some, silent=short | long, late=short | long, arrives=st.booleans())
    def is_answered_late(self, which, silent, late, arrives):
        """It does nothing for a while, and what it then asks for takes long, on the way there or on the way back."""
        gateway = self.which(which)
        self.now += silent
        self.go(gateway)
        if arrives:
            self.arrive(gateway)
        for _ in self.well(late, but=[gateway]):
            pass
        self.arrive(gateway)
        self.answer(gateway)

    @rule(which=some)
    def is_given_up(self, which):
        self.give_up(self.which(which))

    @precondition(lambda self: self.late)
    @rule(which=st.integers(0, 100))
    def arrives_late(self, which):
        if self.bucket.is_up:
            self.bucket.do(self.late.pop(which % len(self.late)).step)

    @rule(seconds=short | long)
    def time_passes(self, seconds):
        self.now += seconds

    @rule(which=some, fault=st.sampled_from(FAULTS))
    def something_goes_wrong(self, which, fault):
        getattr(self, fault)(self.which(which))

    def go(self, gateway):
        if gateway.can_act and gateway.request is None:
            gateway.step(self.local(gateway))

    def arrive(self, gateway):
        request = gateway.request
        if self.bucket.is_up and request is not None and not request.has_arrived:
            request.answer, request.has_arrived = self.bucket.do(request.step), True

    def answer(self, gateway):
        request = gateway.request
        if gateway.can_act and request is not None and request.has_arrived:
            gateway.request = None
            gateway.told(self.local(gateway), request)
            self.follow(gateway)

    def follow(self, gateway):
        """As Lease and the gateway do it."""
        party = gateway.party
        if isinstance(party, Standby) and party.won is not None:
            gateway.party = party.won
        elif isinstance(party, Holding) and party.lost:
            gateway.let_go()
            gateway.stand_by()

    def give_up(self, gateway):
        if gateway.can_act and gateway.request is not None:
            self.forget(gateway)
            gateway.party.failed(self.local(gateway))

    def forget(self, gateway):
        request, gateway.request = gateway.request, None
        if request is not None and not request.has_arrived and isinstance(request.step, Write):
            self.late.append(request)

    # -- what becomes of processes and of NATS

    def stands_still(self, gateway):
        gateway.is_paused = True

    def wakes(self, gateway):
        for each in self.gateways:
            each.is_paused = False

    def dies(self, gateway):
        self.forget(gateway)
        gateway.is_alive = False
        gateway.let_go()

    def is_started_again(self, gateway):
        for each in self.gateways:
            if not each.is_alive:
                each.stand_by()

    def opens_its_journal(self, gateway):
        if gateway.can_act and gateway.owns and gateway.journal.holder is None:
            gateway.journal.holder = gateway
            gateway.journal.epoch = max(gateway.journal.epoch, gateway.party.epoch)
            gateway.party.own = gateway.identity()

    def leaves(self, gateway):
        if gateway.can_act and gateway.owns:
            self.forget(gateway)
            gateway.party.leave()
            gateway.let_go()

    def nats_goes(self, gateway):
        self.bucket.is_up = False

    def nats_comes(self, gateway):
        self.bucket.is_up = True

    def nats_loses_everything(self, gateway):
        if not self.mixed:
            self.bucket.lose()

    # -- and what must come of it when all is well

    def well(self, seconds, but=()):
        """A network without faults, for so long or until one may write; how long it took."""
        since = self.now
        for each in self.gateways:
            if each not in but:
                self.give_up(each)
        while self.now - since < seconds:
            for each in self.gateways:
                if each not in but:
                    self.exchange(each)
            yield self.now - since
            self.now += 0.04

    def exchange(self, gateway):
        """What it has to do at the moment."""
        for _ in range(6):
            self.go(gateway)
            request = gateway.request
            if request is None or not self.bucket.is_up:
                self.give_up(gateway)
                return
            self.arrive(gateway)
            self.answer(gateway)
            self.check()

    @rule(seconds=short | long, without=st.none() | some)
    def all_is_well(self, seconds, without):
        for _ in self.well(seconds, but=() if without is None else [self.which(without)]):
            pass

    @rule(kills=st.booleans())
    def somebody_owns_it_soon(self, kills):
        self.bucket.is_up = True
        if kills:
            for each in self.gateways:
                if each.owns:
                    self.dies(each)
        assume(any(each.can_act for each in self.gateways))
        longest = max(each.ttl for each in self.gateways)
        assert any(self.writers() for _ in self.well(1.25 * longest)), "nobody owns it"

    @rule(away=long, delay=st.sampled_from([0.0, 0.3, 0.6]))
    def the_holder_goes_on_after_nats_was_away(self, away, delay):
        """For as long as it takes a standby to notice, or longer."""
        owners = self.writers()
        assume(len(owners) == 1 and owners[0].can_act)
        owner, tenure = owners[0], owners[0].party.tenure
        assume(self.bucket.found.record.tenure == tenure)
        assume(not self.mixed or owner.ttl == TTL)
        self.bucket.is_up = False
        for _ in self.well(away):
            pass
        self.bucket.is_up = True
        for _ in self.well(delay, but=[owner]):
            pass
        for _ in self.well(0.2):
            pass
        assert self.writers() == [owner], "it lost the lease, and there was no need"
        assert owner.party.tenure == tenure, f"{tenure} was lost, and there was no need"


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


# -- mistakes, which the machine must notice


def no_fence(patch):
    patch.setattr(holding, "FENCE", 1.3)


def counted_from_the_answer(patch):
    wrote = Holding.wrote

    def late(self, now, revision):
        wrote(self, now, revision)
        if revision and not self.lost:
            self.until = now + holding.FENCE * self._ttl

    patch.setattr(Holding, "wrote", late)


def steals_without_comparing(patch):
    chosen = Standby._chosen

    def blind(self, now):
        step = chosen(self, now)
        return step._replace(last=ANY) if isinstance(step, Write) and step.record.tenure else step

    patch.setattr(Standby, "_chosen", blind)


def renews_without_comparing(patch):
    step = Holding.step

    def blind(self, now):
        found = step(self, now)
        return found._replace(last=ANY) if isinstance(found, Write) else found

    patch.setattr(Holding, "step", blind)


def failed_reads_count(patch):
    def failed(self, now):
        self._next, self._is_read = now + standingby.RETRY * self._ttl, False

    patch.setattr(Standby, "failed", failed)
    patch.setattr(standingby, "GAP", 1e9)


def steals_at_once_what_is_new(patch):
    """An empty bucket is taken for one that nobody ever had anything in."""
    read = Standby.read

    def hasty(self, now, found):
        read(self, now, found)
        if self.won is None and not found.record.tenure:
            self._since = now - 10

    patch.setattr(Standby, "read", hasty)


def revisions_come_again(patch):
    patch.setattr(Bucket, "forgets", True)


def the_journal_is_not_looked_at(patch):
    patch.setattr(Standby, "_is_dead", lambda self, record: bool(record.journal) and self._own.id == record.journal)


def journals_are_named_before_they_are_open(patch):
    patch.setattr(Holding, "own", Identity("shared", "here", 0, is_held=True), raising=False)
    confirm = Holding._confirm

    def named(self, number, revision):
        confirm(self, number, revision)
        self.own = Identity("shared", "here", 0, is_held=True)

    patch.setattr(Holding, "_confirm", named)


def goes_on_with_any_record(patch):
    read = Holding.read

    def stubborn(self, now, found):
        read(self, now, found)
        if self.lost and not self._leaves:
            self.lost, self._revision = "", found.revision

    patch.setattr(Holding, "read", stubborn)


def a_doubt_counts_from_the_read(patch):
    read = Holding.read

    def generous(self, now, found):
        read(self, now, found)
        if not self.lost and not self._leaves:
            self.until = now + holding.FENCE * self._ttl

    patch.setattr(Holding, "read", generous)


def a_released_lease_goes_on(patch):
    def leave(self):
        self._leaves, self._next = True, -1e9

    patch.setattr(Holding, "leave", leave)


def nobody_steals(patch):
    patch.setattr(Standby, "_claimed", lambda self, found: standingby._Claim(Record(), found.revision))


def the_same_name_again(patch):
    patch.setattr(standingby, "new_tenure", lambda epoch: "1-same")
    init = Standby.__init__
    patch.setattr(Standby, "__init__", lambda self, gateway, ttl: init(self, gateway, ttl, lambda epoch: "1-same"))


MISTAKES = [
    no_fence,
    counted_from_the_answer,
    steals_without_comparing,
    renews_without_comparing,
    failed_reads_count,
    steals_at_once_what_is_new,
    revisions_come_again,
    the_journal_is_not_looked_at,
    journals_are_named_before_they_are_open,
    goes_on_with_any_record,
    a_doubt_counts_from_the_read,
    a_released_lease_goes_on,
    nobody_steals,
    the_same_name_again,
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_noticed(mistake, monkeypatch):
    mistake(monkeypatch)
    tries = settings(
        max_examples=2000,
        stateful_step_count=60,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError, match=r"two may write|is back|not the highest|nobody owns it|there was no need"):
        run_state_machine_as_test(Leases, settings=tries)
