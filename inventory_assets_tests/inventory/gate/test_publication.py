"""Dates are published, held and released; runs are killed and overtake each other meanwhile."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, CorruptRecord, NotHeld
from inventory_assets.inventory.gate.held_date import HELD, days_with_holds, held_dates, read_held
from inventory_assets.inventory.gate.publication import (
    Outcome,
    begin_date,
    publish_or_hold,
    release_date,
)
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.manifest.manifest import MANIFEST, Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.latency_histogram import LatencyHistogram, bucket_of
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

BOUNDS = GateBounds(failed_percent=0.8, slower_ms=150)
TOMORROW = DAY + timedelta(days=1)
BECAUSE = "the store was slow, and everything is there"
clock = (NOW + timedelta(seconds=number) for number in count())
"""Each time is later than the one before."""

Change = Callable[[Snapshot], Snapshot]


def failing(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, faults={"throttled": 50})


def slow(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, latency=LatencyHistogram({bucket_of(0.9): 1_000}))


def quick(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, requests=1_000, latency=LatencyHistogram({bucket_of(0.1): 1_000}))


def incomplete(snapshot: Snapshot) -> Snapshot:
    first, *others = snapshot.evidence
    return replace(snapshot, evidence=(replace(first, rows=first.rows + 1), *others))


def snapshots(
    store: Store, keys: str, day: date = DAY, change: Change = quick
) -> dict[str, Snapshot]:
    return {"": change(snapshot_of(store, Shard("", ()), listed(keys), day))}


def materialize(
    store: Store,
    keys: str,
    day: date = DAY,
    change: Change = quick,
    bounds: GateBounds = BOUNDS,
) -> Outcome:
    """What a run of `inventory_manifest` does, after a listing that found these keys."""
    begun = begin_date(store, LAYOUT, day, next(clock))
    found = snapshots(store, keys, day, change)
    manifest = merge(
        store, LAYOUT, "", found, next(clock), baseline=newest_manifest(store, LAYOUT, day)
    )
    return publish_or_hold(store, LAYOUT, manifest, found, bounds, begun, next(clock))


def release(store: Store, day: date = DAY, because: str = BECAUSE) -> Manifest:
    return release_date(store, LAYOUT, day, "ada", because, lambda: next(clock))


def published_keys(store: Store, day: date | None = None) -> str:
    batches = Dataset.of_date(store, LAYOUT, day).batches(["key"])
    return "".join(key for batch in batches for key in batch.column("key").to_pylist())


def files_of_date(store: Store, day: date = DAY) -> list[str]:
    keys = (LAYOUT.manifest, LAYOUT.s3_manifest, LAYOUT.checksum, LAYOUT.symlink)
    return [key(day) for key in keys if store.read(key(day)) is not None]


# Holding


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (failing, "50 of 1,000 requests failed, 5.00% of them; the bound is 0.8 %"),
        (slow, "ms above the median of 3 dates before"),
        (
            incomplete,
            "the evidence is broken: shard '': counts add up: 4 records listed, 3 written",
        ),
    ],
)
def test_a_date_beyond_a_bound_is_held_and_the_last_good_one_stays_current(
    store: LocalStore, change: Change, sentence: str
) -> None:
    for days in (3, 2, 1):
        assert not materialize(store, "ab", DAY - timedelta(days=days)).is_held
    outcome = materialize(store, "abc", change=change)
    assert outcome.is_held
    assert sentence in outcome.verdict.sentences[0]
    assert files_of_date(store) == []
    assert published_keys(store) == "ab"
    held = read_held(store, LAYOUT, DAY)
    assert held is not None
    assert held.manifest == (outcome.manifest,)
    assert held.sentences == outcome.verdict.sentences


def test_a_fall_beyond_the_bound_of_growth_holds_a_date(store: LocalStore) -> None:
    growth = GrowthBounds(
        fell_percent=50,
        rose_percent=900,
        prefix_percent=50,
        modified_percent=90,
        deleted_percent=90,
        stopped_after_dates=0,
        min_objects=1,
    )
    materialize(store, "abcdef", DAY - timedelta(days=1))
    outcome = materialize(store, "a", bounds=replace(BOUNDS, growth=growth))
    assert outcome.is_held
    assert "the whole inventory fell by 83.3 % in objects, from 6" in outcome.verdict.sentences[0]


def test_a_hold_of_a_date_that_is_published_leaves_the_published_one(store: LocalStore) -> None:
    materialize(store, "ab")
    assert materialize(store, "abc", change=failing).is_held
    assert published_keys(store, DAY) == "ab"
    assert [each.day for each in held_dates(store, LAYOUT)] == [DAY]


def test_the_next_date_is_published_and_its_baseline_is_the_last_published_one(
    store: LocalStore,
) -> None:
    materialize(store, "ab", DAY - timedelta(days=1))
    assert materialize(store, "abc", change=failing).is_held
    outcome = materialize(store, "abcd", TOMORROW)
    assert not outcome.is_held
    assert outcome.manifest.baseline is not None
    assert outcome.manifest.baseline.day == DAY - timedelta(days=1)
    assert published_keys(store) == "abcd"
    assert read_held(store, LAYOUT, DAY) is not None


def test_a_date_listed_again_within_the_bounds_is_published_and_its_hold_ends(
    store: LocalStore,
) -> None:
    assert materialize(store, "abc", change=failing).is_held
    assert not materialize(store, "abcd").is_held
    assert published_keys(store, DAY) == "abcd"
    assert list(held_dates(store, LAYOUT)) == []
    record = HELD.read(store, LAYOUT.held(DAY))
    assert record is not None
    assert record.manifest == (), "its parts are needed no more"


def test_a_date_held_again_shows_the_new_reason_and_since_when_the_same_content_is_held(
    store: LocalStore,
) -> None:
    materialize(store, "abc", change=failing)
    first = read_held(store, LAYOUT, DAY)
    materialize(store, "abc", change=failing)
    second = read_held(store, LAYOUT, DAY)
    materialize(store, "abcd", change=failing)
    third = read_held(store, LAYOUT, DAY)
    assert first is not None
    assert second is not None
    assert third is not None
    assert first.held_since == second.held_since < third.held_since


def test_wider_bounds_let_a_held_date_be_published_without_a_release(store: LocalStore) -> None:
    materialize(store, "abc", change=failing)
    wide = replace(BOUNDS, failed_percent=10.0)
    outcome = materialize(store, "abc", change=failing, bounds=wide)
    assert not outcome.is_held
    assert outcome.manifest.release is None


# Releasing


def test_a_release_publishes_what_was_held_with_who_when_and_why(store: LocalStore) -> None:
    held = materialize(store, "abc", change=failing)
    released = release(store)
    assert released.release is not None
    assert replace(released, release=None) == held.manifest
    assert (released.release.released_by, released.release.because) == ("ada", BECAUSE)
    assert released.release.crossed == tuple(held.verdict.sentences)
    assert read_manifest(store, LAYOUT, DAY) == released
    assert len(files_of_date(store)) == 4
    assert published_keys(store) == "abc"
    record = HELD.read(store, LAYOUT.held(DAY))
    assert record is not None
    assert record.releases == (released.release,)
    assert list(held_dates(store, LAYOUT)) == []


def test_a_released_content_is_not_held_again(store: LocalStore) -> None:
    materialize(store, "abc", change=failing)
    released = release(store)
    outcome = materialize(store, "abc", change=failing)
    assert not outcome.is_held
    assert outcome.manifest == released, "it is not even written anew"
    assert materialize(store, "abcd", change=failing).is_held, "this is another content"


def test_a_release_replaces_the_earlier_inventory_of_the_date(store: LocalStore) -> None:
    materialize(store, "ab")
    materialize(store, "abc", change=failing)
    release(store)
    assert published_keys(store, DAY) == "abc"


@pytest.mark.parametrize("state", ["nothing", "published", "released", "held and then published"])
def test_what_is_not_held_cannot_be_released(store: LocalStore, state: str) -> None:
    if state != "nothing":
        materialize(store, "ab", change=quick if state == "published" else failing)
    if state == "released":
        release(store)
    if state.startswith("held and"):
        materialize(store, "abc")
    says = {
        "nothing": "not published either; materialize inventory_manifest",
        "released": "ada released it at 2026-05-05",
    }
    with pytest.raises(NotHeld, match=f"source on 2026-05-05 is not held.*{says.get(state, '')}"):
        release(store)


@pytest.mark.parametrize("because", ["", "  \n", "x" * 501])
def test_a_release_needs_a_reason(store: LocalStore, because: str) -> None:
    materialize(store, "abc", change=failing)
    with pytest.raises(NotHeld, match="needs a reason of 1 to 500 characters"):
        release(store, because=because)
    assert read_held(store, LAYOUT, DAY) is not None


def test_a_reason_cannot_hide_characters(store: LocalStore) -> None:
    materialize(store, "abc", change=failing)
    released = release(store, because="fine\x1b[2J\u202e")
    assert released.release is not None
    assert released.release.because == "fine\\x1b[2J\\u202e"


def test_a_damaged_record_of_a_hold_is_an_error_with_a_way_out(store: LocalStore) -> None:
    materialize(store, "abc", change=failing)
    store.publish(LAYOUT.held(DAY), b"{")
    with pytest.raises(CorruptRecord, match="remove it, then materialize inventory_manifest"):
        release(store)
    assert materialize(store, "abc", change=failing).is_held
    assert release(store).day == DAY


# Retention


def test_parts_of_a_held_date_are_kept_and_expire_with_the_date(store: LocalStore) -> None:
    materialize(store, "ab", DAY - timedelta(days=1))
    materialize(store, "abc", change=failing)
    held = read_held(store, LAYOUT, DAY)
    assert held is not None
    keys = [part.key for part in held.manifest[0].parts]
    collect(store, Retention(keep_days=10), NOW + timedelta(days=5))
    assert all(store.size(key) for key in keys)
    materialize(store, "ab", DAY + timedelta(days=20))
    for days in (30, 33, 36):
        collect(store, Retention(keep_days=10), NOW + timedelta(days=days))
    assert days_with_holds(store, LAYOUT) == []
    assert not any(store.size(key) for key in keys)
    assert published_keys(store) == "ab"


def collect(store: Store, retention: Retention, now: datetime) -> None:
    plan = plan_collection(store, LAYOUT, retention, now.date(), now)
    execute(store, plan, lambda: now)


# Races and kills


def interrupted(store: LocalStore, after: int, action: Callable[[], object]) -> LocalStore:
    """The same store, for a run during which something happens before one of its writes."""
    busy = copy(store)
    left = [after]

    def put_if_match(*arguments: Any) -> str:
        left[0] -= 1
        if left[0] == -1:
            action()
        return store.put_if_match(*arguments)

    busy.put_if_match = put_if_match  # type: ignore[assignment,method-assign]
    return busy


def die() -> None:
    raise Killed


@pytest.mark.parametrize("writes", range(7))
def test_a_release_that_is_killed_is_finished_by_the_next_run_or_release(
    store: LocalStore, writes: int
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
    if record.releases:
        begin_date(store, LAYOUT, DAY, next(clock))
    else:
        release(store)
    found = read_manifest(store, LAYOUT, DAY)
    assert found is not None
    assert found.release is not None
    assert replace(found, release=None) == held.manifest


def test_a_release_that_was_overtaken_by_a_publication_is_an_error_and_undoes_nothing(
    store: LocalStore,
) -> None:
    materialize(store, "abc", change=failing)
    for writes, keys in enumerate(["x", "xy"]):  # before its first write, and its second
        busy = interrupted(store, writes, partial(materialize, store, keys))
        with pytest.raises(ConflictError):
            release(busy)
        assert published_keys(store, DAY) == keys
        materialize(store, "abcd", change=failing)


def test_a_run_that_would_hold_over_a_date_published_meanwhile_says_so(store: LocalStore) -> None:
    busy = interrupted(store, 0, lambda: publish_manifest(store, LAYOUT, other))
    other = merge(store, LAYOUT, "", snapshots(store, "ab"), NOW)
    with pytest.raises(ConflictError, match="published the inventory of 2026-05-05 while"):
        materialize(busy, "abc", change=failing)
    assert list(held_dates(store, LAYOUT)) == []
    assert published_keys(store, DAY) == "ab"


def test_a_killed_release_is_not_finished_over_what_was_published_meanwhile(
    store: LocalStore,
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

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.good: set[str] = set()
        self.allowed: set[str] = set()

    def take(self, step: Step, store: LocalStore | None = None) -> None:
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example([Step("a", True), Step(None, False), Step("ab", True), Step("a", True)])
@given(st.lists(steps, max_size=6))
def test_however_runs_and_releases_race_and_die_only_the_good_and_the_released_are_published(
    roomy_store: LocalStore, history: list[Step]
) -> None:
    with roomy_store.scratch() as folder:
        store = LocalStore(folder)
        told = History(store)
        for step in history:
            told.take(step)
        # And there is always a way out.
        outcome = materialize(store, "abcdef", change=failing)
        assert outcome.is_held
        assert replace(release(store), release=None) == outcome.manifest
        assert published_keys(store) == "abcdef"
        assert not materialize(store, "z").is_held
        assert published_keys(store) == "z"
        assert list(held_dates(store, LAYOUT)) == []
