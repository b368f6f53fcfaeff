"""Dates of a bucket with versions that changes, listed by processes that are killed.

Each date has its own shards, and is listed with or without versions, as of a moment or as the
bucket is. Its inventory, and its changes since the date before, are those of the bucket.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.changed_records import read_changed_records
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.listing.part_sizing import PartSizing
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    newest_manifest,
    publish_manifest,
    violations_of,
)
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.manifest.snapshot_validation import failed_rules_of, validate_files
from inventory_assets.inventory.parts.current import read_current
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.simulated_bucket import ErrorRates, Killed, Life, MortalStore
from inventory_assets_tests.fakes.simulated_versions import VersionedNetwork, VersionedSimulation
from inventory_assets_tests.fakes.versioned_s3 import EPOCH, History
from inventory_assets_tests.inventory.few_records import files_of_few_records
from inventory_assets_tests.inventory.samples import DAY, NOW
from inventory_assets_tests.key_spaces import key_sets

MODEL = Layout("model", "source")
WHOLE = KeyRange.of_prefix("")
SMALL = PartSizing(min_rows=4, min_rows_to_split=30)
THOUSANDS = 2000

CALM_AFTER = 12
"""Runs after which nothing fails any more."""

COMPARED = ["size", "last_modified_date", "e_tag"]


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Files of few records, soon noted."""
    with files_of_few_records(timedelta(seconds=0.1), timedelta(seconds=0.2)):
        yield


class Kind(StrEnum):
    """What is listed for a date."""

    OBJECTS = "current objects"
    ALL = "all versions"
    PAST = "the versions of a moment before"


@dataclass(frozen=True, slots=True)
class Listing:
    """The listing of a date.

    Attributes:
        kind: What is listed.
        prefixes: The prefixes of its shards.
        kills: The operations of each process before it is killed.
        changes: Changes of the bucket before it.
    """

    kind: Kind
    prefixes: list[str]
    kills: list[int]
    changes: int


@dataclass(frozen=True, slots=True)
class Story:
    """The events of some dates.

    Attributes:
        keys: The keys that may be written.
        seed: Determines what is written, and all events.
        versions: Versions that are put in a row at most.
        page_size: Versions in a page at most.
        in_flight: Requests in flight at most.
        rates: The probabilities of errors.
        erases: Whether versions are deleted for good.
        listings: The dates.
    """

    keys: list[str]
    seed: int
    versions: int
    page_size: int
    in_flight: int
    rates: ErrorRates
    erases: bool
    listings: list[Listing]


@st.composite
def stories(draw: st.DrawFn, most: int) -> Story:
    keys = draw(key_sets(most).filter(bool))
    heads = st.sampled_from(sorted({key[:size] for key in keys for size in (1, 2, 4)} | {"a"}))
    often = st.sampled_from([0, 0, 0.02, 0.1])
    listings = st.builds(
        Listing,
        st.sampled_from([*Kind, Kind.PAST]),
        st.lists(heads, max_size=2),
        st.lists(st.integers(0, 80), max_size=3),
        st.integers(0, 20),
    )
    return Story(
        keys,
        seed=draw(st.integers(0, 2**32)),
        versions=draw(st.sampled_from([1, 2, 5, 30])),
        page_size=draw(st.integers(1, 12)),
        in_flight=draw(st.integers(1, 8)),
        rates=ErrorRates(
            throttled=draw(often), reset=draw(often), cut_off=draw(often), changed=draw(often)
        ),
        erases=draw(st.booleans()),
        listings=draw(st.lists(listings, min_size=1, max_size=4)),
    )


def bucket_of(story: Story) -> VersionedSimulation:
    chances = Random(story.seed)  # noqa: S311 - a repeatable test
    history, now = History(), 0
    for _ in range(2 * len(story.keys)):
        now += chances.choice((0, 1, 3))
        key = chances.choice(story.keys)
        for _ in range(chances.choice((1, 1, story.versions))):
            history.put(key, now, None if chances.random() < 0.25 else chances.randrange(99))
    return VersionedSimulation(
        history, story.keys, story.page_size, chances, erases=story.erases, now=now + 10
    )


def snapshots_of(
    story: Story,
    bucket: VersionedSimulation,
    root: Path,
    day: date,
    listing: Listing,
    versions: Versions | None,
) -> dict[str, Snapshot]:
    """List a date until every shard has its snapshot."""
    shards = [make_shard(prefix, listing.prefixes) for prefix in sorted({"", *listing.prefixes})]
    found: dict[Shard, Snapshot] = {}
    lives, runs = [*listing.kills], 0
    while len(found) < len(shards):
        runs += 1
        assert runs <= CALM_AFTER + 1 + len(listing.kills), "it never ends"
        rates = story.rates if runs <= CALM_AFTER else ErrorRates()
        life = Life(lives.pop(0) if lives else float("inf"))
        config = BucketConfig("model", max_in_flight=story.in_flight)
        lister = ShardLister(
            ListClient(config, transport=VersionedNetwork(bucket, life, rates)),
            MortalStore(root, life),
            MODEL,
            KeyOrder.BYTES,
            now=lambda: NOW + timedelta(seconds=bucket.seconds),
            sizing=SMALL,
        )
        wanted = [ShardRequest(day, shard, versions) for shard in shards if shard not in found]
        try:
            for each, result in lister.list_shards(wanted):
                if isinstance(result, Exception):
                    raise result
                found[each.shard] = result
        except Killed:
            pass
    return {shard.prefix: snapshot for shard, snapshot in found.items()}


def check(story: Story, root: Path) -> None:
    """Every date has what was there, and its changes lead to it from the date before."""
    bucket, store = bucket_of(story), LocalStore(root)
    for number, listing in enumerate(story.listings):
        day = DAY + timedelta(days=number)
        for _ in range(listing.changes):
            bucket.change()
        as_of = bucket.now if listing.kind is Kind.PAST else None
        bucket.now += 50
        moment = None if as_of is None else EPOCH + timedelta(milliseconds=as_of)
        versions = None if listing.kind is Kind.OBJECTS else Versions(moment)
        expected = [each.row() for each in bucket.history.listed(as_of)]
        bucket.changed.clear()
        snapshots = snapshots_of(story, bucket, root, day, listing, versions)
        rows = [row for each in snapshots.values() for row in checked_rows(store, each)]
        if versions:
            check_versions(rows, expected, bucket, is_past=as_of is not None and not story.erases)
        baseline = newest_manifest(store, MODEL, before=day)
        manifest = merge(store, MODEL, "", snapshots, NOW, baseline=baseline)
        assert violations_of(manifest) == []
        check_changes(store, snapshots, baseline, manifest)
        publish_manifest(store, MODEL, manifest)
        assert store.list_names(MODEL.checkpoints(day)) == []


def checked_rows(store: LocalStore, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The records of a snapshot, which is proven."""
    assert failed_rules_of(snapshot) == []
    assert [result for result in validate_files(store, snapshot) if result.violation] == []
    batches = read_records(store, snapshot.parts, [WHOLE])
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert all(snapshot.shard.covers(row["key"]) for row in rows)
    assert snapshot.rows == len(rows)
    current = [row for row in rows if row.get("is_latest", True) and row["size"] is not None]
    assert snapshot.objects == len(current)
    return rows


def check_versions(
    rows: list[dict[str, Any]],
    expected: list[dict[str, Any]],
    bucket: VersionedSimulation,
    *,
    is_past: bool,
) -> None:
    """Compare records with the bucket; what changed meanwhile counts only if they are of before."""
    rows = sorted(rows, key=lambda row: row["key"])
    changed = set() if is_past else bucket.changed
    names = expected[0].keys() if expected else ()
    found = [{name: row[name] for name in names} for row in rows if row["key"] not in changed]
    assert found == [row for row in expected if row["key"] not in changed]
    ids = [(row["key"], row["version_id"]) for row in rows]
    assert len(ids) == len({*ids})
    there = {(each.key, each.version_id) for each in bucket.history.listed()}
    assert there & {(row["key"], row["version_id"]) for row in expected} <= {*ids}
    firsts = [not at or rows[at - 1]["key"] != row["key"] for at, row in enumerate(rows)]
    assert [row["is_latest"] for row in rows] == firsts


def check_changes(
    store: LocalStore,
    snapshots: dict[str, Snapshot],
    baseline: Manifest | None,
    manifest: Manifest,
) -> None:
    """The changes of all shards are the differences of the current objects."""
    found: dict[str, dict[str, Any]] = {}
    for snapshot in snapshots.values():
        changes = publish_changes(store, MODEL, snapshot, baseline, NOW)
        for table in read_changed_records(store, changes.file, [WHOLE]):
            found |= {row["key"]: row for row in table.to_pylist()}
    if baseline is None:
        assert found == {}
        return
    old, new = current(store, baseline), current(store, manifest)
    differing = {
        key
        for key in old.keys() | new.keys()
        if [old.get(key, {}).get(name) for name in ("key", *COMPARED)]
        != [new.get(key, {}).get(name) for name in ("key", *COMPARED)]
    }
    assert found.keys() == differing
    ids = {key: new.get(key, {}).get("version_id") for key in differing}
    assert {key: row["version_id"] for key, row in found.items()} == ids


def current(store: LocalStore, manifest: Manifest) -> dict[str, dict[str, Any]]:
    batches = read_current(store, manifest.parts, [WHOLE], ["key", "version_id", *COMPARED])
    return {row["key"]: row for batch in batches for row in batch.to_pylist()}


CUT_OFF = Story(
    ["aa", "b", "ba", "bb"],
    seed=0,
    versions=1,
    page_size=2,
    in_flight=1,
    rates=ErrorRates(cut_off=0.1),
    erases=False,
    listings=[Listing(Kind.ALL, [], [], 0)],
)


@given(stories(most=60))
@example(CUT_OFF).via("a page that was cut off looked like that of a store without versions")
@settings(max_examples=25)
def test_dates_with_versions_are_those_of_the_bucket(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(story, Path(folder))


@pytest.mark.slow
@given(stories(most=120))
@settings(max_examples=THOUSANDS)
def test_dates_with_versions_are_those_of_the_bucket_in_thousands_of_stories(story: Story) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(story, Path(folder))
