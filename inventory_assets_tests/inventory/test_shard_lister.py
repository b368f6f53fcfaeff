from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.listing import listing_driver
from inventory_assets.inventory.listing.part_reuse import split_hints
from inventory_assets.inventory.listing.part_sizing import DEFAULT_SIZING, PartSizing
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.observer import ScanObserver
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.inventory.samples import DAY, NOW

LAYOUT = Layout("model", "source")


def part(first: str, last: str, rows: int = 100_000) -> Part:
    return Part("data/x", rows, 0, 0, "", first, last, ())


@given(
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=12, unique=True).map(sorted),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=6, unique=True).map(sorted),
)
def test_split_hints_are_the_ends_of_parts_within_the_ranges(
    ends: list[str], bounds: list[str]
) -> None:
    parts = [part(end, end) for end in ends]
    ranges = [KeyRange(*pair) for pair in zip(bounds[::2], bounds[1::2], strict=False)]
    inside = [end for end in ends if any(each.after < end < each.until for each in ranges)]
    assert split_hints(parts, ranges, DEFAULT_SIZING) == inside


def test_a_small_shard_has_no_split_hints() -> None:
    parts = [part("a", "b", 10), part("c", "d", 10)]
    assert split_hints(parts, [KeyRange("", "z")], DEFAULT_SIZING) == []


def test_a_listing_is_split_at_the_ends_of_the_previous_days_parts(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[ListingJob] = []

    def noted(
        lister: ModelS3,
        wanted: Sequence[ListingJob],
        now: Callable[[], datetime],
        observer: ScanObserver,
    ) -> ParallelScan:
        jobs.extend(wanted)
        return ParallelScan(lister, wanted, now, observer=observer)

    monkeypatch.setattr(listing_driver, "ParallelScan", noted)
    sizing = PartSizing(min_rows_to_split=10)
    keys = [f"{number:03}" for number in range(90)]
    first = ShardLister(ModelS3(keys, 10), store, LAYOUT, now=lambda: NOW, sizing=sizing)
    prefixes = [f"{number:02}" for number in range(9)]
    shards = [make_shard("", prefixes), *(make_shard(prefix, []) for prefix in prefixes)]
    snapshots = {shard.prefix: first.list_shard(DAY, shard) for shard in shards}
    publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))
    assert all(not job.initial_splits for job in jobs)

    lister = ModelS3([*keys, "0451", "1"], 10)
    lister.bucket_config = BucketConfig("model", max_in_flight=4)
    later = ShardLister(lister, store, LAYOUT, now=lambda: NOW, sizing=sizing)
    found = later.list_shard(DAY + timedelta(days=1), make_shard("", []))
    ends = sorted(part.last_key for each in snapshots.values() for part in each.parts)
    assert [*jobs[-1].split_hints] == ends
    assert len(jobs[-1].initial_splits) == 4
    assert {*jobs[-1].initial_splits} < {*ends}
    assert found.rows == 92
