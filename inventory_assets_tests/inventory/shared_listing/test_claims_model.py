"""Claims of several participants in any order, with paused holders and lost writes and responses:
all keys belong to exactly one record at any time, and to one that is done at the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inventory_assets.inventory.errors import ClaimLost, StoreError
from inventory_assets.inventory.shared_listing import conditional_record, range_claim
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim, decode_record
from inventory_assets.inventory.shared_listing.range_record import (
    RangeRecord,
    RangeResult,
    RangeState,
)
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets_tests.fakes.memory_store import Fate, MemoryStore
from inventory_assets_tests.inventory.shared_listing.samples import LEASE, listing

WHOLE = KeyRange("00", "99")
NAMES = ("alice", "bob", "carol")


@pytest.fixture(scope="module", autouse=True)
def repeatable() -> Iterator[None]:
    """Nothing is waited for, and the names of records follow from the order of their creation."""
    numbers = count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditional_record, "_WAIT_SECONDS", 0)
        patch.setattr(range_claim, "uuid4", lambda: UUID(int=next(numbers) << 80))
        yield


class Participants(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = 0.0
        self.boards = {
            name: RangeBoard(self.store, listing(), name, lambda: self.now) for name in NAMES
        }
        self.folder = self.boards["alice"].folder
        self.boards["alice"].begin([WHOLE])
        self.claims: dict[str, RangeClaim] = {}
        self.done: dict[str, RangeRecord] = {}
        self.epochs: dict[str, int] = {}

    def record(self, name: str) -> RangeRecord:
        return decode_record(self.store.data[f"{self.folder}/{name}.json"])

    def records(self) -> dict[str, RangeRecord]:
        names = [name.removesuffix(".json") for name in self.store.list_names(self.folder)]
        return {name: self.record(name) for name in names}

    @rule(fates=st.lists(st.sampled_from(Fate), min_size=1, max_size=4))
    def the_network_fails(self, fates: list[Fate]) -> None:
        self.store.fates.extend(fates)

    @rule(who=st.sampled_from(NAMES), patience=st.booleans())
    def look_and_claim(self, who: str, patience: bool) -> None:
        """A participant without a claim, or one that has forgotten it, looks for ranges."""
        if who in self.claims and not self.claims[who].is_lost:
            return
        self.claims.pop(who, None)
        try:
            state = self.boards[who].read()
            for _ in range(4 if patience else 0):  # nobody else does anything meanwhile
                self.now += LEASE / 3
                state = self.boards[who].read()
            for name in state.claimable:
                claim = self.boards[who].claim(name)
                if claim is not None:
                    self.claims[who] = claim
                    break
        except StoreError:
            pass  # it looks again later; a claim whose response was lost is found then

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """The process is killed; another one with another name is started."""
        self.claims.pop(data.draw(st.sampled_from(sorted(self.claims))))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        self.act(data, lambda claim: claim.renew(7))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), place=st.integers(1, 98))
    def give(self, data: st.DataObject, place: int) -> None:
        bound = f"{place:02}"

        def give(claim: RangeClaim) -> None:
            upper = KeyRange(bound, "99")
            given = [both for each in claim.record.ranges if (both := upper.intersection(each))]
            is_open = claim.record.state is RangeState.CLAIMED
            if given and given != [*claim.record.ranges] and is_open:
                claim.give(given)

        self.act(data, give)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.claims.pop(self.act(data, lambda claim: claim.release()))

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def complete(self, data: st.DataObject) -> None:
        """A zombie's completion must not count: only the present holder's does."""

        def complete(claim: RangeClaim) -> None:
            claim.complete(RangeResult(requests=claim.record.epoch))
            written = self.record(claim.name)
            assert written.state is RangeState.DONE
            assert (written.holder, written.epoch) == (claim.record.holder, claim.record.epoch)

        who = self.act(data, complete)
        self.claims.pop(who)

    def act(self, data: st.DataObject, act: Callable[[RangeClaim], None]) -> str:
        who = data.draw(st.sampled_from(sorted(self.claims)))
        claim = self.claims[who]
        before = self.record(claim.name)
        is_mine = (before.holder, before.epoch) == (who, claim.record.epoch)
        is_mine = is_mine and before.state is RangeState.CLAIMED
        try:
            act(claim)
        except ClaimLost:
            assert not is_mine, "a holder has lost a claim that nobody has taken over"
            assert self.record(claim.name) == before, "a lost claim has changed the record"
        except StoreError:
            assert self.store.data  # it is unknown whether the write arrived
        else:
            assert is_mine or self.record(claim.name) == before, "a zombie's write has won"
        return who

    @invariant()
    def every_key_belongs_to_one_record(self) -> None:
        records = self.records()
        ranges = [each for record in records.values() for each in record.ranges]
        for record in records.values():
            for given in record.given:
                if given.name not in records:
                    ranges += given.ranges
        assert tiling_violation(sorted(ranges), [WHOLE]) is None

    @invariant()
    def what_is_done_stays_done(self) -> None:
        for name, record in self.records().items():
            assert record.epoch >= self.epochs.get(name, 0)
            self.epochs[name] = record.epoch
            if record.state is RangeState.DONE:
                kept = replace(record, renewals=0, given=(), pages_left=0)
                assert self.done.setdefault(name, kept) == kept
            assert name not in self.done or record.state is RangeState.DONE

    def teardown(self) -> None:
        """Whatever happened, one more participant completes the rest."""
        self.store.fates.clear()
        board = RangeBoard(self.store, listing(), "dora", lambda: self.now)
        for _ in range(1000):
            state = board.read()
            if state.violation([WHOLE]) is None:
                break
            for name in state.claimable:
                if claim := board.claim(name):
                    claim.complete(RangeResult())
            self.now += LEASE / 3
        assert board.read().violation([WHOLE]) is None
        for claim in self.claims.values():  # those that were paused until now
            with pytest.raises(ClaimLost):
                claim.complete(RangeResult(requests=1_000_000))
        assert board.read().violation([WHOLE]) is None


TestParticipants = Participants.TestCase
TestParticipants.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
