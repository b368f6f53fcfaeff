"""Listings on virtual time, with a reader that computes and blocks as a test says."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from inventory_assets.inventory.runs.figures import RunFigures
from inventory_assets.inventory.runs.shard_run import JobObserver, is_serial
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.activity import ActivityMeter
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.store_profile import AWS, StartAfter, StoreProfile
from inventory_assets.scan.engine.events import JobFailed, ListingJob, ObjectsListed
from inventory_assets.scan.engine.parallel_scan import ParallelScan, utc_now
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets_tests.fakes.limited_store import LimitedStore, StoreLimits, spread_keys
from inventory_assets_tests.fakes.virtual_time import VirtualClock, scans_run_on_virtual_time
from inventory_assets_tests.inventory.samples import DAY, NOW

HEALTHY = StoreLimits()
SERIAL = StoreProfile(start_after=StartAfter.IGNORED)


@dataclass(frozen=True, slots=True)
class Situation:
    """What limits a listing.

    Attributes:
        store: What limits the store.
        pages: The pages of the bucket.
        concurrency: The requests in flight that the configuration allows.
        policy: The policy of the limit.
        profile: How the store lists.
        can_split: Whether the keys can be split into ranges.
        computes: Seconds that the process computes for a page.
        waits_for_core: Seconds that it waits for a free core for a page.
        blocks: Seconds that writing a page blocks.
    """

    store: StoreLimits = HEALTHY
    pages: int = 1000
    concurrency: int = 16
    policy: PolicyName = PolicyName.ADAPTIVE
    profile: StoreProfile = AWS
    can_split: bool = True
    computes: float = 0.0
    waits_for_core: float = 0.0
    blocks: float = 0.0


def simulated_run(situation: Situation, keys: Sequence[str] | None = None) -> RunFigures:
    """List a bucket in a situation; the figures of the run."""
    clock = VirtualClock()
    keys = spread_keys(situation.pages) if keys is None else keys
    config = BucketConfig("limited", max_in_flight=situation.concurrency, policy=situation.policy)
    activity = ActivityMeter(situation.concurrency, clock.clocks)
    with pytest.MonkeyPatch.context() as patch:
        scans_run_on_virtual_time(patch, clock)
        store = LimitedStore(keys, situation.store)
        lister = ListClient(config, transport=store, activity=activity)
        lister.profile = situation.profile
        job = ListingJob("", [KeyRange.of_prefix("")])
        rows = 0
        for event in ParallelScan(lister, [job], can_split=situation.can_split):
            if isinstance(event, JobFailed):
                raise event.error
            if isinstance(event, ObjectsListed):
                rows += event.objects.num_rows
                clock.compute(situation.computes)
                clock.wait_for_core(situation.waits_for_core)
                clock.block(situation.blocks)
    assert rows == len(keys)
    serial = is_serial(KeyOrder.BYTES, situation.profile)
    observer = JobObserver(lister, job, utc_now, is_serial=serial)
    return observer.run(Layout("limited", "source"), DAY, rows, NOW).figures
