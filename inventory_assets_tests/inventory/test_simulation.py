"""Listings of buckets that change, over networks that fail, by processes that are killed.

Whatever happens, a listing publishes correct results in the end. A few examples run with the other
tests; thousands, and larger ones, run with `make test-slow`, or alone with
`pytest -m slow inventory_assets_tests/inventory/test_simulation.py`.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of, validate_files
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.errors import RetriesExhausted, UnusableResponse
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.errors import KeysOutOfOrder, ListingStuck
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets_tests.fakes.simulated_bucket import (
    ErrorRates,
    Killed,
    Life,
    MortalStore,
    SimulatedBucket,
    SimulatedNetwork,
    cut_short,
)
from inventory_assets_tests.inventory.few_records import files_of_few_records
from inventory_assets_tests.inventory.samples import DAY, NOW
from inventory_assets_tests.key_spaces import key_sets

THOUSANDS = 3000

CALM_AFTER = 12
"""Runs after which nothing fails any more; so a listing ends, or never will."""

EXPECTED = (RetriesExhausted, UnusableResponse, ListingStuck, KeysOutOfOrder)
"""How a listing may end at such rates."""

MODEL = Layout("model", "source")


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Files of few records, soon noted."""
    with files_of_few_records(timedelta(seconds=0.1), timedelta(seconds=0.2)):
        yield


@dataclass(frozen=True, slots=True)
class Story:
    """The events of a simulated listing.

    Attributes:
        keys: The keys of all objects that may exist at any time.
        seed: Determines which of them exist, and all events.
        prefixes: The prefixes of the shards.
        page_size: Keys in a page at most.
        in_flight: Requests in flight at most.
        policy: The policy for requests in flight.
        kills: The operations of each process before it is killed.
        rates: The probabilities of errors.
    """

    keys: list[str]
    seed: int
    prefixes: list[str]
    page_size: int
    in_flight: int
    policy: PolicyName
    kills: list[int]
    rates: ErrorRates


@st.composite
def stories(draw: st.DrawFn, most: int) -> Story:
    keys = draw(key_sets(most))
    heads = st.sampled_from(sorted({key[:size] for key in keys for size in (1, 2, 4)} | {"a"}))
    often, seldom = st.sampled_from([0, 0, 0.02, 0.1, 0.3]), st.sampled_from([0, 0, 0, 0.01])
    return Story(
        keys,
        seed=draw(st.integers(0, 2**32)),
        prefixes=draw(st.lists(heads, max_size=2)),
        page_size=draw(st.integers(1, 12)),
        in_flight=draw(st.integers(1, 12)),
        policy=draw(st.sampled_from(PolicyName)),
        kills=draw(st.lists(st.integers(0, 80), max_size=4)),
        rates=ErrorRates(
            throttled=draw(often),
            failed=draw(often),
            reset=draw(often),
            timed_out=draw(seldom),
            cut_off=draw(often),
            garbled=draw(often),
            empty=draw(often),
            stuck=draw(seldom),
            repeated=draw(seldom),
            changed=draw(often),
        ),
    )


def told(story: Story, root: Path) -> tuple[SimulatedBucket, dict[Shard, Snapshot]]:
    """Play a story until every shard has its snapshot."""
    chances = Random(story.seed)  # noqa: S311 - a repeatable test
    existing = [key for key in story.keys if chances.random() < 0.8 or not story.rates.changed]
    others = sorted({*story.keys} - {*existing})
    bucket = SimulatedBucket(existing, others, story.page_size, chances)
    shards = [make_shard(prefix, story.prefixes) for prefix in sorted({"", *story.prefixes})]
    found: dict[Shard, Snapshot] = {}
    lives = [*story.kills]
    rates, runs = story.rates, 0
    while len(found) < len(shards):
        runs += 1
        if runs > CALM_AFTER:
            rates = ErrorRates(changed=story.rates.changed)
            assert runs <= CALM_AFTER + 1 + len(story.kills), "it never ends"
        life = Life(lives.pop(0) if lives else float("inf"))
        bucket_config = BucketConfig("model", max_in_flight=story.in_flight, policy=story.policy)
        network = SimulatedNetwork(bucket, life, rates)
        shard_lister = ShardLister(
            ListClient(bucket_config, transport=network),
            MortalStore(root, life),
            MODEL,
            KeyOrder.BYTES,
            now=lambda: NOW + timedelta(seconds=bucket.seconds),
        )
        wanted = [ShardRequest(DAY, shard) for shard in shards if shard not in found]
        try:
            for each, result in shard_lister.list_shards(wanted):
                if isinstance(result, Snapshot):
                    found[each.shard] = result
                else:
                    assert isinstance(result, EXPECTED), result
                    assert rates != ErrorRates(changed=rates.changed), result
        except Killed:
            kept = {root / part.key for snapshot in found.values() for part in snapshot.parts}
            if chances.random() < 0.3:
                cut_short(files_of(root) - kept, chances)
        assert network.most_under_way <= story.in_flight
    return bucket, found


def files_of(root: Path) -> set[Path]:
    """Parts, drafts and records of unfinished listings."""
    folders = (MODEL.data_folder, MODEL.checkpoints(DAY), ".drafts/*/*")
    return {path for folder in folders for path in root.glob(f"{folder}/*")}


def check(story: Story, root: Path) -> None:
    """Every key that was there all the time is listed once, and none that never was.

    A key whose record was garbled in every response is reported as unreadable.
    """
    bucket, found = told(story, root)
    store = LocalStore(root)
    listed: list[str] = []
    set_aside: set[str | None] = set()
    for shard, snapshot in found.items():
        assert failed_rules_of(snapshot) == []
        assert [result for result in validate_files(store, snapshot) if result.violation] == []
        assert read_snapshot(store, MODEL, DAY, shard.prefix) == snapshot
        fingerprint, keys = Fingerprint(), list[str]()
        for records in read_records(store, snapshot.parts, [KeyRange.of_prefix("")]):
            fingerprint.update(records)
            keys += records.column("key").to_pylist()
        assert all(left < right for left, right in pairwise(keys))
        assert all(shard.covers(key) for key in keys)
        assert snapshot.rows == sum(row.rows for row in snapshot.evidence) == len(keys)
        assert snapshot.fingerprint == fingerprint.hexdigest()
        assert sum(row.pages for row in snapshot.evidence) <= snapshot.requests
        listed += keys
        set_aside |= {record.key for record in snapshot.unreadable.first}
    assert len(listed) == len(set(listed))
    assert bucket.throughout <= {*listed} | set_aside
    assert {*listed} | set_aside <= bucket.ever
    assert not set_aside or story.rates.garbled
    assert store.list_names(MODEL.checkpoints(DAY)) == []


@given(stories(most=120))
@settings(max_examples=60)
def test_listings_are_correct_under_concurrent_changes_and_failures(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(story, Path(folder))


@pytest.mark.slow
@given(stories(most=200))
@settings(max_examples=THOUSANDS)
def test_listings_are_correct_in_thousands_of_scenarios(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(story, Path(folder))
