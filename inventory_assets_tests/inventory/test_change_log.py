"""The change log of a date, over all shards."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.change_log import (
    ChangeLog,
    change_log_etag,
    compare_shards,
    next_change_log,
    outdated_fault,
    publish_change_log,
    read_change_log,
    violations_of,
)
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.errors import ConflictError, ManifestIncomplete
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot, publish_snapshot
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

YESTERDAY = DAY - timedelta(days=1)
keys = st.text(st.sampled_from("ab/é"), min_size=1, max_size=4)
prefixes = st.text(st.sampled_from("ab/é"), min_size=1, max_size=3)


def shard_snapshots(
    store: LocalStore, held: set[str], shards: set[str], day: date
) -> dict[str, Snapshot]:
    """The snapshots of all shards of a bucket that holds some keys."""
    every = sorted({"", *shards})
    return {
        prefix: snapshot_of(
            store,
            make_shard(prefix, every),
            listed(key for key in held if make_shard(prefix, every).covers(key)),
            day,
        )
        for prefix in every
    }


def merged(store: LocalStore, snapshots: Mapping[str, Snapshot]) -> Manifest:
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    publish_manifest(store, LAYOUT, manifest)
    return manifest


def compared(store: LocalStore, snapshots: Mapping[str, Snapshot]) -> None:
    for snapshot in snapshots.values():
        baseline = newest_manifest(store, LAYOUT, before=snapshot.day)
        publish_changes(store, LAYOUT, snapshot, baseline, NOW)


def pass_day(store: LocalStore, held: set[str], day: date, shards: set[str]) -> ChangeLog:
    """List, compare, merge and log a day."""
    snapshots = shard_snapshots(store, held, shards, day)
    compared(store, snapshots)
    return publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def listed_files(store: LocalStore, day: date) -> Sequence[str]:
    return store.path(LAYOUT.change_log_symlink(day)).read_text().splitlines()


def logged(store: LocalStore, day: date = DAY) -> list[tuple[str, str]]:
    """The keys of a day's log, and what happened to them."""
    tables = [pq.read_table(file, columns=["key", "change"]) for file in listed_files(store, day)]
    return sorted((row["key"], row["change"]) for t in tables for row in t.to_pylist())


def expected(then: set[str], now: set[str]) -> list[tuple[str, str]]:
    changes = dict.fromkeys(now - then, "created") | dict.fromkeys(then - now, "deleted")
    return sorted(changes.items())


@given(
    st.sets(keys, max_size=12),
    st.sets(keys, max_size=12),
    st.sets(keys, max_size=12),
    st.sets(prefixes, max_size=2),
    st.sets(prefixes, max_size=2),
    st.sets(prefixes, max_size=2),
)
def test_every_key_is_logged_once_however_prefixes_become_shards_during_the_day(
    roomy_store: LocalStore,
    then: set[str],
    morning: set[str],
    noon: set[str],
    shards_then: set[str],
    shards: set[str],
    shards_at_noon: set[str],
) -> None:
    """Shards found at noon are listed and compared then; the others are of the morning."""
    pass_day(roomy_store, then, YESTERDAY, shards_then)
    early = shard_snapshots(roomy_store, morning, shards, DAY)
    late = shard_snapshots(roomy_store, noon, shards | shards_at_noon, DAY)
    snapshots = {prefix: early.get(prefix, snapshot) for prefix, snapshot in late.items()}
    compared(roomy_store, snapshots)
    log = publish_change_log(roomy_store, LAYOUT, merged(roomy_store, snapshots), NOW)
    shard_of = {
        key: max((prefix for prefix in snapshots if key.startswith(prefix)), key=len)
        for key in morning | noon
    }
    now = {key for key in morning if shard_of[key] in early}
    now |= {key for key in noon if shard_of[key] not in early}
    assert logged(roomy_store) == expected(then, now)
    assert log.balance_fault is None
    assert sum(log.counts.values()) == len(expected(then, now))


def test_files_are_listed_as_they_are_where_no_shard_was_cut(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b/1"}, YESTERDAY, {"a/", "b/"})
    before = set(store.list_names(f"{LAYOUT.base}/changes/data"))
    snapshots = shard_snapshots(store, {"a/1", "a/2", "b/1"}, {"a/", "b/"}, DAY)
    compared(store, snapshots)
    written = set(store.list_names(f"{LAYOUT.base}/changes/data")) - before
    publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)
    assert set(store.list_names(f"{LAYOUT.base}/changes/data")) - before == written
    assert [Path(file).name for file in listed_files(store, DAY)] == list(written)


def test_a_day_without_changes_lists_one_empty_file_that_readers_open(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    log = pass_day(store, {"a"}, DAY, {"b/"})
    assert log.counts == dict.fromkeys(Change, 0)
    assert len(listed_files(store, DAY)) == 1
    assert logged(store) == []


def test_a_first_inventory_has_no_changes(store: LocalStore) -> None:
    log = pass_day(store, {"a", "b"}, DAY, set())
    assert (log.baseline_day, log.rows, log.balance_fault) == (None, 2, None)
    assert logged(store) == []


def test_after_missing_days_the_changes_are_those_since_the_last_inventory(
    store: LocalStore,
) -> None:
    pass_day(store, {"a"}, DAY - timedelta(days=9), set())
    log = pass_day(store, {"b"}, DAY, set())
    assert log.baseline_day == DAY - timedelta(days=9)
    assert logged(store) == [("a", "deleted"), ("b", "created")]


def three_days(store: LocalStore) -> str:
    """Three days of logs; the pattern that finds the lists of their files."""
    for day, held in ((-2, {"a", "b"}), (-1, {"b", "c"}), (0, {"b", "d"})):
        pass_day(store, held, DAY + timedelta(days=day), {"c"})
    return str(store.path(LAYOUT.change_log_symlink(DAY)).parent.parent / "dt=*/symlink.txt")


OF_THREE_DAYS = [
    ("2026-05-04", "a", "DELETE"),
    ("2026-05-04", "c", "CREATE"),
    ("2026-05-05", "c", "DELETE"),
    ("2026-05-05", "d", "CREATE"),
]


def test_duckdb_reads_many_days_in_one_query(store: LocalStore) -> None:
    pattern = three_days(store)
    with duckdb.connect() as connection:
        # The statements of the README.
        connection.execute(
            f"""SET VARIABLE files = (
                SELECT list(file) FROM (
                    SELECT unnest(string_split(content, chr(10))) AS file
                    FROM read_text('{pattern}')
                ) WHERE file <> '')"""  # noqa: S608
        )
        rows = connection.execute(
            """SELECT sequence_number, key, record_type
               FROM read_parquet(getvariable('files')) ORDER BY ALL"""
        ).fetchall()
    assert rows == OF_THREE_DAYS


def test_polars_reads_many_days_in_one_query(store: LocalStore) -> None:
    pattern = Path(three_days(store))
    root, names = pattern.parent.parent, "/".join(pattern.parts[-2:])
    files = [file for list_ in root.glob(names) for file in list_.read_text().split("\n") if file]
    log = pl.scan_parquet(files).select("sequence_number", "key", "record_type")
    assert sorted(log.collect().rows()) == OF_THREE_DAYS


def test_shards_are_compared_where_they_were_not_as_the_log_needs_them(store: LocalStore) -> None:
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


def test_a_listing_that_is_newer_than_the_manifest_is_not_compared_for_it(
    store: LocalStore,
) -> None:
    manifest = merged(store, shard_snapshots(store, {"a/1"}, {"a/"}, DAY))
    snapshot = shard_snapshots(store, {"a/2"}, {"a/"}, DAY)["a/"]
    publish_snapshot(store, LAYOUT, snapshot)
    with pytest.raises(ManifestIncomplete, match="'a/' have not the listing any more"):
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
    with pytest.raises(ManifestIncomplete, match="object_changes for 2026-05-05 and them"):
        publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def test_shards_compared_with_different_baselines_make_no_log(store: LocalStore) -> None:
    pass_day(store, {"a/1", "b"}, DAY - timedelta(days=2), set())
    snapshots = shard_snapshots(store, {"a/1"}, {"a/"}, DAY)
    compared(store, {"": snapshots[""]})
    pass_day(store, {"a/1", "b", "c"}, YESTERDAY, set())
    compared(store, {"a/": snapshots["a/"]})
    with pytest.raises(ManifestIncomplete, match=r"^the remainder have not been compared with"):
        publish_change_log(store, LAYOUT, merged(store, snapshots), NOW)


def test_dates_compared_before_their_baseline_came_make_no_log(store: LocalStore) -> None:
    days = [DAY - timedelta(days=age) for age in (2, 1, 0)]
    pass_day(store, {"a"}, days[0], set())
    later = [shard_snapshots(store, {"a", "b"}, set(), day) for day in days[1:]]
    for snapshots in later:
        compared(store, snapshots)
    manifests = [merged(store, snapshots) for snapshots in later]
    publish_change_log(store, LAYOUT, manifests[0], NOW)
    said = (
        r"the remainder have not been compared with the newest complete inventory before "
        r"2026-05-05 as it is now \(2026-05-04\); materialize object_changes for 2026-05-05"
    )
    with pytest.raises(ManifestIncomplete, match=said):
        publish_change_log(store, LAYOUT, manifests[1], NOW)
    compared(store, later[1])
    publish_change_log(store, LAYOUT, manifests[1], NOW)
    assert [logged(store, day) for day in days[1:]] == [[("b", "created")], []]


def test_a_baseline_that_is_as_the_one_before_it_needs_no_comparison(store: LocalStore) -> None:
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
def test_in_whatever_order_dates_are_made_a_log_has_the_changes_since_the_date_before(
    roomy_store: LocalStore,
    side_by_side: list[tuple[str, int, frozenset[str]]],
    more: list[tuple[str, int, frozenset[str]]],
) -> None:
    """A log that has not, is refused, or found to be outdated."""
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
        assert (outdated_fault(store, LAYOUT, log) is None) == (then == before(number))


def test_a_log_outlives_its_baseline(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    log = pass_day(store, {"b"}, DAY, set())
    store.remove_key(LAYOUT.checksum(YESTERDAY))
    assert outdated_fault(store, LAYOUT, log) is None


def test_a_log_of_code_that_noted_no_identity_is_outdated_by_its_baselines_day(
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
    assert outdated_fault(store, LAYOUT, log) is None
    pass_day(store, {"b"}, days[1], set())
    assert outdated_fault(store, LAYOUT, log) is not None


def test_the_next_log_is_that_of_the_first_date_after(store: LocalStore) -> None:
    logs = [pass_day(store, {"a"}, DAY + timedelta(days=age), set()) for age in (0, 9, 10)]
    assert [next_change_log(store, LAYOUT, log.day) for log in logs] == [*logs[1:], None]


def test_of_several_empty_files_a_log_lists_that_of_the_first_shard(store: LocalStore) -> None:
    log = pass_day(store, {"a"}, DAY, {"a/", "b/"})
    entries = [replace(entry, file=f"{n}.parquet") for n, entry in enumerate(log.entries)]
    assert replace(log, entries=tuple(entries)).files == ("0.parquet",)
    assert replace(log, entries=tuple(reversed(entries))).files == ("2.parquet",)


def test_of_two_runs_that_log_a_date_at_once_the_first_publishes(store: LocalStore) -> None:
    pass_day(store, {"a"}, YESTERDAY, set())
    begun = change_log_etag(store, LAYOUT, DAY)
    late = shard_snapshots(store, {"a", "b"}, set(), DAY)
    compared(store, late)
    manifest = merged(store, late)
    first = pass_day(store, {"a", "b", "c"}, DAY, set())
    compared(store, late)
    with pytest.raises(ConflictError, match="was published by another run"):
        publish_change_log(store, LAYOUT, manifest, NOW, begun)
    assert read_change_log(store, LAYOUT, DAY) == first
    assert logged(store) == [("b", "created"), ("c", "created")]


def test_a_log_is_read_as_it_was_published(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    log = pass_day(store, {"a", "c"}, DAY, set())
    assert read_change_log(store, LAYOUT, DAY) == log
    store.publish(LAYOUT.change_log(DAY), b"damaged")
    assert read_change_log(store, LAYOUT, DAY) is None


def test_faults_of_a_log_are_told(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    log = pass_day(store, {"a", "c"}, DAY, set())
    assert violations_of(store, log) == []
    store.path(log.files[0]).unlink()
    assert violations_of(store, replace(log, rows=7)) == [
        "2 + 1 created - 1 deleted = 2, but the inventory holds 7",
        f"{log.files[0]} is missing",
    ]


def test_equal_days_have_equal_identity(store: LocalStore) -> None:
    pass_day(store, {"a", "b"}, YESTERDAY, set())
    first = pass_day(store, {"a", "c"}, DAY, set())
    assert pass_day(store, {"a", "c"}, DAY, set()).identity == first.identity
    assert pass_day(store, {"a", "d"}, DAY, set()).identity != first.identity
