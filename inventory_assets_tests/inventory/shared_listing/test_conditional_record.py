"""A conditional write whose response is lost is recognised as one's own."""

from collections.abc import Callable

import pytest

from inventory_assets.inventory.errors import ClaimLost, ConflictError, StoreError
from inventory_assets.inventory.shared_listing import conditional_record
from inventory_assets.inventory.shared_listing.conditional_record import write_if_unchanged
from inventory_assets.inventory.shared_listing.range_board import RangeBoard
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim, decode_record
from inventory_assets.inventory.shared_listing.range_record import RangeResult, RangeState
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.memory_store import Fate, MemoryStore
from inventory_assets_tests.inventory.shared_listing.samples import listing

WHOLE = KeyRange("0", "9")


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditional_record, "_WAIT_SECONDS", 0)


@pytest.mark.parametrize("fate", Fate)
def test_a_write_is_repeated_until_its_outcome_is_known(fate: Fate) -> None:
    store = MemoryStore()
    store.fates.append(fate)
    etag = write_if_unchanged(store, "a", b"mine", NO_ETAG)
    assert store.data == {"a": b"mine"}
    assert etag == store.etag("a")


def test_the_record_of_another_is_a_conflict() -> None:
    store = MemoryStore()
    store.publish("a", b"theirs")
    store.fates.append(Fate.RESPONSE_IS_LOST)
    with pytest.raises(ConflictError):
        write_if_unchanged(store, "a", b"mine", NO_ETAG)
    assert store.data == {"a": b"theirs"}


def test_an_unknown_outcome_is_an_error() -> None:
    store = MemoryStore()
    store.fates.extend([Fate.IS_LOST] * 3)
    with pytest.raises(StoreError, match="reset"):
        write_if_unchanged(store, "a", b"mine", NO_ETAG)


def claimed(store: MemoryStore) -> tuple[RangeBoard, RangeClaim]:
    board = RangeBoard(store, listing(), "alice", lambda: 0.0)
    board.begin([WHOLE])
    assert board.read().claimable == ("first",)
    claim = board.claim("first")
    assert claim is not None
    return board, claim


def test_a_renewal_whose_response_was_lost_is_continued() -> None:
    store = MemoryStore()
    _, claim = claimed(store)
    store.fates.extend([Fate.RESPONSE_IS_LOST] * 3)
    with pytest.raises(StoreError):
        claim.renew(1)
    claim.renew(2)
    record = decode_record(store.data["work/one/ranges/first.json"])
    assert (record.renewals, record.pages_left) == (2, 2)


@pytest.mark.parametrize("fate", [Fate.IS_LOST, Fate.RESPONSE_IS_LOST])
def test_ranges_given_away_by_a_write_that_failed_are_given_by_the_next(fate: Fate) -> None:
    store = MemoryStore()
    board, claim = claimed(store)
    store.fates.extend([fate] * 3)
    with pytest.raises(StoreError):
        claim.give([KeyRange("5", "9")])
    claim.renew(None)
    state = board.read()
    assert sorted(record.ranges for record in state.records.values()) == [
        (KeyRange("0", "5"),),
        (KeyRange("5", "9"),),
    ]


def test_a_holder_that_died_after_giving_ranges_away_loses_none() -> None:
    """Whoever reads the record next creates that of the ranges given away."""
    store = MemoryStore()
    board, claim = claimed(store)
    claim.give([KeyRange("5", "9")])
    (child,) = (name for name in store.data if name != "work/one/ranges/first.json")
    del store.data[child]
    board.read()
    assert decode_record(store.data[child]).ranges == (KeyRange("5", "9"),)
    assert decode_record(store.data[child]).state is RangeState.FREE


def test_a_paused_holder_cannot_complete_ranges_that_were_taken_over() -> None:
    store = MemoryStore()
    _, paused = claimed(store)
    seen = store.data["work/one/ranges/first.json"]
    other = RangeClaim.take(store, "work/one/ranges", "first", seen, "bob")
    assert other is not None
    acts: list[Callable[[], None]] = [
        lambda: paused.renew(1),
        lambda: paused.give([KeyRange("5", "9")]),
        lambda: paused.complete(RangeResult()),
        paused.release,
    ]
    for act in acts:
        before = dict(store.data)
        with pytest.raises(ClaimLost, match="another participant has taken over the ranges first"):
            act()
        assert store.data == before
    other.complete(RangeResult(requests=3))


def test_of_two_that_claim_one_range_one_gets_it() -> None:
    store = MemoryStore()
    board, _ = claimed(store)
    late = RangeBoard(store, listing(), "bob", lambda: 0.0)
    late._data = dict(board._data)  # it read the record before alice claimed it
    assert late.claim("first") is None


def test_a_release_does_not_undo_a_completion_whose_response_was_lost() -> None:
    store = MemoryStore()
    _, claim = claimed(store)
    store.fates.extend([Fate.RESPONSE_IS_LOST] * 3)
    with pytest.raises(StoreError):
        claim.complete(RangeResult(requests=3))
    claim.release()
    record = decode_record(store.data["work/one/ranges/first.json"])
    assert record.state is RangeState.DONE
