"""Runs and releases of one date are killed and overtake each other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, NotHeld
from inventory_assets.inventory.gate.held_date import HELD, held_dates, read_held
from inventory_assets.inventory.gate.publication import (
    begin_date,
    publish_or_hold,
)
from inventory_assets.inventory.gate.unfinished_release import (
    unfinished_release,
    unfinished_releases,
)
from inventory_assets.inventory.manifest.manifest import MANIFEST
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.gate.gated_dates import (
    BOUNDS,
    clock,
    die,
    failing,
    interrupted,
    materialize,
    published_keys,
    quick,
    release,
    snapshots,
)
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW
from inventory_assets_tests.inventory.stores import bucket_store


@pytest.mark.parametrize("writes", range(7))
def test_a_release_that_is_killed_is_finished_by_the_next_run_or_release(
    store: Store, writes: int
) -> None:
    materialize(store, "ab")
    held = materialize(store, "abc", change=failing)
    try:
        release(interrupted(store, writes, die))
    except Killed:
        assert writes < 6
    else:
        assert writes == 6, "the record, the four files of the date, the record"
    record = HELD.read(store, LAYOUT.held(DAY))
    assert record is not None
    unfinished = unfinished_release(store, LAYOUT, DAY)
    assert (unfinished is not None) == (1 <= writes < 5), "between the record and the last file"
    if record.releases:
        begin_date(store, LAYOUT, DAY, next(clock))
    else:
        release(store)
    found = read_manifest(store, LAYOUT, DAY)
    assert found is not None
    assert found.release is not None
    assert replace(found, release=None) == held.manifest
    assert unfinished_release(store, LAYOUT, DAY) is None


@pytest.mark.parametrize("change", [quick, failing])
def test_a_killed_release_whose_parts_are_lost_does_not_block_the_date(
    store: Store, change: Callable[[Snapshot], Snapshot]
) -> None:
    held = materialize(store, "abc", change=failing)
    with pytest.raises(Killed):  # with its decision on record
        release(interrupted(store, 1, die))
    store.remove_key(held.manifest.parts[0].key)
    outcome = materialize(store, "abcd", change=change)
    assert outcome.is_held == (change is failing)
    if outcome.is_held:
        release(store)
    assert published_keys(store, DAY) == "abcd"


def test_a_release_that_was_overtaken_by_a_publication_is_an_error_and_undoes_nothing(
    store: Store,
) -> None:
    materialize(store, "abc", change=failing)
    for writes, keys in enumerate(["x", "xy"]):  # before its first write, and its second
        busy = interrupted(store, writes, partial(materialize, store, keys))
        with pytest.raises(ConflictError):
            release(busy)
        assert published_keys(store, DAY) == keys
        materialize(store, "abcd", change=failing)


def test_a_run_that_would_hold_over_a_date_published_meanwhile_says_so(store: Store) -> None:
    busy = interrupted(store, 0, lambda: publish_manifest(store, LAYOUT, other))
    other = merge(store, LAYOUT, "", snapshots(store, "ab"), NOW)
    with pytest.raises(ConflictError, match="published the inventory of 2026-05-05 while"):
        materialize(busy, "abc", change=failing)
    assert list(held_dates(store, LAYOUT)) == []
    assert published_keys(store, DAY) == "ab"


def test_a_killed_release_is_not_finished_over_what_was_published_meanwhile(
    store: Store,
) -> None:
    materialize(store, "abc", change=failing)
    found = snapshots(store, "abcd")
    begun = begin_date(store, LAYOUT, DAY, next(clock))
    with pytest.raises(Killed):  # with its decision on record
        release(interrupted(store, 1, die))
    manifest = merge(store, LAYOUT, "", found, next(clock))
    busy = interrupted(store, 4, die)
    with pytest.raises(Killed):  # after the four files of the date
        publish_or_hold(busy, LAYOUT, manifest, found, BOUNDS, begun, next(clock))
    assert unfinished_release(store, LAYOUT, DAY) is None, "it was overtaken"
    begin_date(store, LAYOUT, DAY, next(clock))
    assert published_keys(store, DAY) == "abcd"
    with pytest.raises(NotHeld):
        release(store)


@dataclass(frozen=True, slots=True)
class Step:
    """A run or a release, and what happens before one of its writes.

    Attributes:
        keys: The keys that a run finds; None for a release.
        is_odd: Whether the run must be held.
        writes: The number of writes before which something happens.
        meanwhile: It: another step, or the end of the process; None for nothing.
    """

    keys: str | None
    is_odd: bool
    writes: int = 0
    meanwhile: "Step | str | None" = None


plain_steps = st.builds(
    Step, st.sampled_from([None, "a", "ab", "abc", "abcd"]), is_odd=st.booleans()
)
steps = st.builds(
    Step,
    st.sampled_from([None, "a", "ab", "abc", "abcd"]),
    is_odd=st.booleans(),
    writes=st.integers(0, 7),
    meanwhile=st.none() | st.just("killed") | plain_steps,
)


class History:
    """What a person would expect of a date, and what is there.

    Attributes:
        store: The store.
        good: The identities that were merged within the bounds.
        allowed: The identities that somebody asked to release, while they were held.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.good: set[str] = set()
        self.allowed: set[str] = set()

    def take(self, step: Step, store: Store | None = None) -> None:
        busy = store or self.store
        if isinstance(step.meanwhile, Step):
            meanwhile = step.meanwhile
            busy = interrupted(self.store, step.writes, lambda: self.take(meanwhile))
        elif step.meanwhile:
            busy = interrupted(self.store, step.writes, die)
        try:
            self._release(busy) if step.keys is None else self._run(busy, step)
        except (Killed, ConflictError, NotHeld):
            pass
        finally:
            self.require_no_unreleased()

    def _run(self, store: Store, step: Step) -> None:
        keys = step.keys or ""
        # What is odd of a content is a property of its listing, so contents differ.
        keys += "!" if step.is_odd else ""
        outcome = materialize(store, keys, change=failing if step.is_odd else quick)
        if not step.is_odd:
            self.good.add(outcome.manifest.identity)
            assert not outcome.is_held
        if step.meanwhile is None:
            held, found = read_held(self.store, LAYOUT, DAY), read_manifest(self.store, LAYOUT, DAY)
            if outcome.is_held:
                assert held is not None
                assert held.manifest == (outcome.manifest,)
            else:
                assert held is None
                assert found is not None
                assert found.identity == outcome.manifest.identity

    def _release(self, store: Store) -> None:
        held = read_held(self.store, LAYOUT, DAY)
        if held is not None:
            self.allowed.add(held.manifest[0].identity)
        released = release(store)
        assert released.release is not None

    def require_no_unreleased(self) -> None:
        """No reader sees what was odd and not released, whatever is half-written."""
        head = MANIFEST.read(self.store, LAYOUT.manifest(DAY))
        if head is not None and head.release is not None:
            assert head.release.identity == head.identity
            assert head.identity in self.allowed
        elif head is not None:
            assert not sum(head.faults.values())


def require_a_way_out(store: Store, history: list[Step]) -> None:
    """Play a history, after which a person can still publish what is held, and a run what is good.

    At no time a reader sees what is odd and was not released.
    """
    told = History(store)
    for step in history:
        told.take(step)
    outcome = materialize(store, "abcdef", change=failing)
    assert outcome.is_held
    assert replace(release(store), release=None) == outcome.manifest
    assert published_keys(store) == "abcdef"
    assert not materialize(store, "z").is_held
    assert published_keys(store) == "z"
    assert list(held_dates(store, LAYOUT)) == []
    assert list(unfinished_releases(store, LAYOUT)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example([Step("a", True), Step(None, False), Step("ab", True), Step("a", True)])
@given(st.lists(steps, max_size=6))
def test_however_runs_and_releases_race_and_die_only_the_good_and_the_released_are_published(
    roomy_store: LocalStore, history: list[Step]
) -> None:
    with roomy_store.scratch() as folder:
        require_a_way_out(LocalStore(folder), history)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=4
)
@example([Step("a", True), Step(None, False, 2, "killed"), Step("a", True, 0, Step("ab", False))])
@example([Step("ab", False), Step("a", True), Step(None, False, 3, Step("ab", False))])
@given(st.lists(steps, min_size=2, max_size=4))
def test_the_same_holds_in_a_bucket(moto: Endpoint, history: list[Step]) -> None:
    require_a_way_out(bucket_store(moto), history)
