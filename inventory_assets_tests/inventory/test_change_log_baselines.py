"""The baseline of a change log: when a log is rejected, and when it is outdated."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import (
    compare_shards,
    outdated_reason,
    publish_change_log,
    read_change_log,
)
from inventory_assets.inventory.errors import ManifestIncomplete
from inventory_assets.inventory.manifest.manifest_merge import (
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import publish_snapshot
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.inventory.logged_days import (
    YESTERDAY,
    compared,
    expected,
    logged,
    merged,
    pass_day,
    shard_snapshots,
)
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW


def test_only_shards_without_the_needed_comparison_are_compared(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b/1"}, YESTERDAY, {"a/", "b/"})
    snapshots = shard_snapshots(store, {"a/1", "a/2", "b/2"}, {"a/", "b/"}, DAY)
    for snapshot in snapshots.values():
        publish_snapshot(store, LAYOUT, snapshot)
    compared(store, {"": snapshots[""], "b/": snapshots["b/"]})
    manifest = merged(store, snapshots)
    assert compare_shards(store, LAYOUT, manifest, ["b/"], NOW) == []
    assert compare_shards(store, LAYOUT, manifest, ["a/", "b/"], NOW) == ["a/"]
    store.publish(LAYOUT.changes(DAY, "b/"), b"damaged")
    assert compare_shards(store, LAYOUT, manifest, ["a/", "b/"], NOW) == ["b/"]
    publish_change_log(store, LAYOUT, manifest, NOW)
    assert logged(store) == [("a/2", "created"), ("b/1", "deleted"), ("b/2", "created")]


def test_a_listing_newer_than_the_manifest_is_not_compared(
    store: LocalStore,
) -> None:
    manifest = merged(store, shard_snapshots(store, {"a/1"}, {"a/"}, DAY))
    snapshot = shard_snapshots(store, {"a/2"}, {"a/"}, DAY)["a/"]
    publish_snapshot(store, LAYOUT, snapshot)
    with pytest.raises(ManifestIncomplete, match="'a/' have been listed again after the manifest"):
        compare_shards(store, LAYOUT, manifest, ["a/"], NOW)


def test_a_shard_listed_again_must_be_compared_again(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b/1"}, YESTERDAY, {"a/", "b/"})
    snapshots = shard_snapshots(store, {"a/1"}, {"a/", "b/"}, DAY)
    compared(store, snapshots)
    snapshots["b/"] = shard_snapshots(store, {"b/2"}, {"a/", "b/"}, DAY)["b/"]
    manifest = merged(store, snapshots)
    with pytest.raises(ManifestIncomplete, match="'b/' have not been compared since"):
        publish_change_log(store, LAYOUT, manifest, NOW)
    assert read_change_log(store, LAYOUT, DAY) is None
    compared(store, snapshots)
    publish_change_log(store, LAYOUT, manifest, NOW)
    assert logged(store) == [("b/1", "deleted"), ("b/2", "created")]


def test_a_baseline_that_was_published_again_must_be_compared_with(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    snapshots = shard_snapshots(store, {"a"}, set(), DAY)
    compared(store, snapshots)
    merged(store, shard_snapshots(store, {"a", "c"}, set(), YESTERDAY))
    with pytest.raises(ManifestIncomplete, match="object_changes for 2026-05-05 and these shards"):
        publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def test_shards_compared_with_different_baselines_make_no_log(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b"}, DAY - timedelta(days=2), set())
    snapshots = shard_snapshots(store, {"a/1"}, {"a/"}, DAY)
    compared(store, {"": snapshots[""]})
    pass_day(store, {"a/1", "b", "c"}, YESTERDAY, set())
    compared(store, {"a/": snapshots["a/"]})
    with pytest.raises(ManifestIncomplete, match=r"^the remainder have not been compared with"):
        publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def test_shards_compared_before_the_baseline_was_published_make_no_log(store: LocalStore) -> None:
    days = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    pass_day(store, {"a"}, days[0], set())
    later = [shard_snapshots(store, {"a", "b"}, set(), day) for day in days[1:]]
    for snapshots in later:
        compared(store, snapshots)
    manifests = [merged(store, snapshots) for snapshots in later]
    publish_change_log(store, LAYOUT, manifests[0], NOW)
    said = (
        r"the remainder have not been compared with the present newest complete inventory before "
        r"2026-05-05 \(2026-05-04\); materialize object_changes for 2026-05-05"
    )
    with pytest.raises(ManifestIncomplete, match=said):
        publish_change_log(store, LAYOUT, manifests[1], NOW)
    compared(store, later[1])
    publish_change_log(store, LAYOUT, manifests[1], NOW)
    assert [logged(store, day) for day in days[1:]] == [[("b", "created")], []]


def test_a_baseline_with_the_same_content_needs_no_new_comparison(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY - timedelta(days=1), set())
    snapshots = shard_snapshots(store, {"a", "b"}, set(), DAY)
    compared(store, snapshots)
    pass_day(store, {"a"}, YESTERDAY, set())
    log = publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)
    assert log.baseline_day == YESTERDAY
    assert logged(store) == [("b", "created")]


HELD = st.frozensets(st.sampled_from("abc"))
STEPS = ("list", "compare", "publish", "log")
ANY_STEPS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3), HELD), max_size=12)


@st.composite
def interleaved(draw: st.DrawFn) -> list[tuple[str, int, frozenset[str]]]:
    """The steps of three dates, each date's in their order, as runs side by side take them."""
    steps = {number: iter(STEPS) for number in range(3)}
    order = draw(st.permutations(sorted([*steps] * len(STEPS))))
    return [(next(steps[number]), number, draw(HELD)) for number in order]


@settings(max_examples=60)
@given(interleaved(), ANY_STEPS)
def test_a_log_has_the_changes_since_the_previous_date_in_any_order_of_runs(
    roomy_store: LocalStore,
    side_by_side: list[tuple[str, int, frozenset[str]]],
    more: list[tuple[str, int, frozenset[str]]],
) -> None:
    """A log without exactly these changes is rejected, or reported as outdated."""
    steps = [*side_by_side, *more]
    store = roomy_store
    store.remove()
    held: dict[int, frozenset[str]] = {}
    published: dict[int, frozenset[str]] = {}
    of: dict[int, tuple[frozenset[str], frozenset[str] | None]] = {}
    baseline: dict[int, frozenset[str] | None] = {}

    def before(number: int) -> frozenset[str] | None:
        return next((published[n] for n in range(number - 1, -1, -1) if n in published), None)

    for step, number, keys in steps:
        day = DAY + timedelta(days=number)
        if step == "list":
            held[number] = keys
        elif step == "compare" and number in held:
            compared(store, shard_snapshots(store, {*held[number]}, set(), day))
            of[number] = held[number], before(number)
        elif step == "publish" and number in held:
            merged(store, shard_snapshots(store, {*held[number]}, set(), day))
            published[number] = held[number]
        elif step == "log" and number in published:
            manifest = read_manifest(store, LAYOUT, day)
            assert manifest
            if of.get(number) != (published[number], before(number)):
                with pytest.raises(ManifestIncomplete):
                    publish_change_log(store, LAYOUT, manifest, NOW)
                continue
            publish_change_log(store, LAYOUT, manifest, NOW)
            then = baseline[number] = before(number)
            changes = [] if then is None else expected({*then}, {*published[number]})
            assert logged(store, day) == changes
    for number, then in baseline.items():
        log = read_change_log(store, LAYOUT, DAY + timedelta(days=number))
        assert log
        assert (outdated_reason(store, LAYOUT, log) is None) == (then == before(number))


def test_a_log_outlives_its_baseline(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    log = pass_day(store, {"b"}, DAY, set())
    store.remove_key(LAYOUT.checksum(YESTERDAY))
    assert outdated_reason(store, LAYOUT, log) is None


def test_an_old_log_without_identity_is_compared_by_its_baselines_date(
    store: LocalStore,
) -> None:
    days = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    pass_day(store, {"a"}, days[0], set())
    pass_day(store, {"b"}, DAY, set())
    key = LAYOUT.change_log(DAY)
    document = json.loads(store.read(key) or b"")
    del document["baseline_identity"]
    store.publish(key, json.dumps(document).encode())
    log = read_change_log(store, LAYOUT, DAY)
    assert log
    assert outdated_reason(store, LAYOUT, log) is None
    pass_day(store, {"b"}, days[1], set())
    assert outdated_reason(store, LAYOUT, log) is not None
