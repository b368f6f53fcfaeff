"""The run record of a date: its shards, merged, and compared with earlier dates."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.runs.cause import Cause
from inventory_assets.inventory.runs.date_run import (
    DATE_RUN,
    DateRun,
    earlier_date_runs,
    publish_date_run,
    read_date_run,
    regressions_of,
    run_of_manifest,
)
from inventory_assets.inventory.runs.regressions import COMPARED_RUNS, RunSummary
from inventory_assets.inventory.runs.shard_run import publish_shard_run, read_shard_run
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.parallel_reads import READS_AT_ONCE
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets_tests.inventory.runs.samples import figures, shard_run, summary
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of
from inventory_assets_tests.inventory.slow_reads import SlowReads

PREFIXES = ("", "a/", "b/")


def manifest_of(store: LocalStore) -> Manifest:
    snapshots = {}
    for prefix in PREFIXES:
        shard = make_shard(prefix, PREFIXES)
        snapshots[prefix] = snapshot_of(store, shard, listed([f"{prefix}1"]), DAY)
    return merge(store, LAYOUT, "", snapshots, NOW)


def publish_date(store: LocalStore, day: date, *shards: RunSummary) -> DateRun:
    run = DateRun(LAYOUT.bucket, LAYOUT.source, day, "", NOW, NOW, figures(), shards)
    publish(store, DATE_RUN.file(LAYOUT.date_run(day), run))
    return run


def test_it_holds_the_shards_that_have_a_record_and_says_how_many_have_none(
    store: LocalStore,
) -> None:
    manifest = manifest_of(store)
    assert publish_date_run(store, LAYOUT, manifest, NOW) is None
    for prefix in PREFIXES[1:]:
        publish_shard_run(store, LAYOUT, shard_run(prefix, finished_at=NOW))
    publish_shard_run(store, LAYOUT, shard_run("of another source/"))
    run = publish_date_run(store, LAYOUT, manifest, NOW)
    assert run == read_date_run(store, LAYOUT, DAY)
    assert run is not None
    assert [each.prefix for each in run.shards] == ["a/", "b/"]
    assert (run.unknown, run.figures.rows) == (1, 20_000)
    assert run.cause.cause is Cause.LIMIT


def test_a_record_survives_the_store(store: LocalStore) -> None:
    run = shard_run()
    publish_shard_run(store, LAYOUT, run)
    assert read_shard_run(store, LAYOUT, DAY, "a/", run.finished_at) == run


def test_a_damaged_record_is_none(store: LocalStore) -> None:
    for key in (LAYOUT.shard_run(DAY, "a/"), LAYOUT.date_run(DAY)):
        store.publish(key, b"{}")
    assert read_shard_run(store, LAYOUT, DAY, "a/", NOW) is None
    assert read_date_run(store, LAYOUT, DAY) is None
    assert publish_date_run(store, LAYOUT, manifest_of(store), NOW) is None


def test_a_date_is_compared_with_earlier_dates_only(store: LocalStore) -> None:
    for age in range(-3, COMPARED_RUNS + 5):
        publish_date(store, DAY - timedelta(days=age), summary(60.0))
    earlier = [*earlier_date_runs(store, LAYOUT, DAY)]
    assert [each.day for each in earlier[:2]] == [DAY - timedelta(days=age) for age in (1, 2)]
    run = publish_date(store, DAY, summary(300.0), replace(summary(999.0), prefix="new/"))
    (found,) = regressions_of(store, LAYOUT, run)
    assert (found.prefix, found.root_cause) == ("a/", Cause.LIMIT)


def test_a_record_of_an_earlier_listing_is_not_believed(store: LocalStore) -> None:
    manifest = manifest_of(store)
    publish_shard_run(store, LAYOUT, shard_run("a/", finished_at=NOW - timedelta(hours=1)))
    publish_shard_run(store, LAYOUT, shard_run("b/", finished_at=NOW))
    assert read_shard_run(store, LAYOUT, DAY, "a/", NOW) is None
    run = publish_date_run(store, LAYOUT, manifest, NOW)
    assert run is not None
    assert [each.prefix for each in run.shards] == ["b/"]
    assert run.unknown == 2


def test_the_record_of_a_date_is_that_of_its_manifest_or_none(store: LocalStore) -> None:
    manifest = manifest_of(store)
    publish_shard_run(store, LAYOUT, shard_run("a/", finished_at=NOW))
    run = publish_date_run(store, LAYOUT, manifest, NOW)
    assert run_of_manifest(store, LAYOUT, manifest) == run
    another = replace(manifest, shards=manifest.shards[1:])
    assert run_of_manifest(store, LAYOUT, another) is None, "it has another content"
    later = [replace(each, finished_at=NOW + timedelta(hours=1)) for each in manifest.shards]
    assert run_of_manifest(store, LAYOUT, replace(manifest, shards=tuple(later))) is None
    assert replace(manifest, shards=tuple(later)).identity == manifest.identity


def test_records_are_read_at_the_same_time_within_a_bound(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_of(store)
    entry = replace(manifest.shards[0], parts=())
    shards = tuple(replace(entry, shard=Shard(f"{number}/")) for number in range(40))
    publish_shard_run(store, LAYOUT, shard_run("7/", finished_at=NOW))
    reads = SlowReads(monkeypatch)
    run = publish_date_run(store, LAYOUT, replace(manifest, shards=shards), NOW)
    assert run is not None
    assert ([each.prefix for each in run.shards], run.unknown) == (["7/"], 39)
    assert 1 < reads.most <= READS_AT_ONCE
