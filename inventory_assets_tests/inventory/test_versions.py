"""Snapshots, manifests, changes and exports of a source that lists versions."""

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.changes.changed_records import read_changed_records
from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.errors import DateNotObservable, VersionsNotListed
from inventory_assets.inventory.export.csv_inventory import publish_csv_inventory
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import publish_export
from inventory_assets.inventory.listing.listable_dates import end_of, versions_of
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
    violations_of,
)
from inventory_assets.inventory.manifest.s3_inventory_format import csv_file_schema
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.manifest.snapshot_validation import (
    failed_rules,
    validate,
    validate_files,
)
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification.findings import Finding
from inventory_assets.inventory.verification.targets import VerificationTarget
from inventory_assets.inventory.verification.verification import verify
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.errors import RetriesExhausted
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.versioned_s3 import (
    EPOCH,
    History,
    Version,
    VersionedS3,
    histories,
)
from inventory_assets_tests.inventory.few_records import files_of_few_records

LAYOUT = Layout("model", "source")
WHOLE = KeyRange.of_prefix("")
DAY = date(2026, 5, 5)
NOW = datetime.fromisoformat("2026-05-07T01:00:00+00:00")


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Files of few records, noted at once."""
    with files_of_few_records(timedelta(0)):
        yield


@contextmanager
def new_store() -> Iterator[LocalStore]:
    with tempfile.TemporaryDirectory() as folder:
        yield LocalStore(Path(folder))


def at(moment: int | None) -> Versions:
    return Versions(None if moment is None else EPOCH + timedelta(milliseconds=moment))


def snapshot_at(
    store: LocalStore,
    history: History,
    versions: Versions | None,
    day: date = DAY,
    shard: Shard | None = None,
) -> Snapshot:
    shard_lister = ShardLister(VersionedS3(history), store, LAYOUT, now=lambda: NOW)
    return shard_lister.list_shard(day, shard or Shard(""), versions)


def merged(store: LocalStore, *snapshots: Snapshot, baseline: Manifest | None = None) -> Manifest:
    by_prefix = {snapshot.shard.prefix: snapshot for snapshot in snapshots}
    manifest = merge(store, LAYOUT, "", by_prefix, NOW, baseline=baseline)
    publish_manifest(store, LAYOUT, manifest)
    return manifest


def records_of(store: LocalStore, snapshot: Snapshot) -> list[dict[str, Any]]:
    batches = read_records(store, snapshot.parts, [WHOLE])
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, VERSION_RECORD_SCHEMA).to_pylist()
    return rows


def sample_history() -> History:
    history = History()
    history.put_null("a", 0, 5)
    history.put("a", 10, 6)
    history.put("b", 10, 7)
    history.put("b", 20, None)
    history.put("c/1", 30, 8)
    history.put("c/1", 40, 9)
    return history


@settings(max_examples=20)
@given(histories())
def test_a_snapshot_holds_the_listed_versions_and_no_key_is_split(history: History) -> None:
    with new_store() as store:
        for moment in (None, 40, 90):
            found = snapshot_at(store, history, at(moment))
            expected = [each.row() for each in history.listed(moment)]
            records = records_of(store, found)
            columns = expected[0].keys() if expected else ()
            assert [{name: row[name] for name in columns} for row in records] == expected
            assert failed_rules((*validate(found), *validate_files(store, found))) == []
            assert found.objects == len(history.current(moment))
            assert read_snapshot(store, LAYOUT, DAY, "") == found
            for part in found.parts:
                file = pq.ParquetFile(store.path(part.key))
                groups = [
                    {*file.read_row_group(number, ["key"]).column(0).to_pylist()}
                    for number in range(file.num_row_groups)
                ]
                assert sum(map(len, groups)) == len(set().union(*groups))


@settings(max_examples=20)
@given(histories())
def test_the_fingerprint_does_not_depend_on_pages_and_ranges(history: History) -> None:
    with new_store() as store:
        whole = snapshot_at(store, history, Versions())
        other = ShardLister(VersionedS3(history, 7), store, LAYOUT, now=lambda: NOW)
        assert other.list_shard(DAY, Shard(""), Versions()).fingerprint == whole.fingerprint


@settings(max_examples=20)
@given(histories())
def test_changes_are_those_of_the_current_objects_with_their_versions(history: History) -> None:
    with new_store() as store:
        before = merged(store, snapshot_at(store, history, at(40)))
        snapshot = snapshot_at(store, history, at(90), DAY + timedelta(days=1))
        changes = publish_changes(store, LAYOUT, snapshot, before, NOW)
        old, new = history.current(40), history.current(90)
        rows = [
            row for t in read_changed_records(store, changes.file, [WHOLE]) for row in t.to_pylist()
        ]
        expected = {
            key: new[key].version_id if key in new else None
            for key in sorted(old.keys() | new.keys())
            if key not in old
            or key not in new
            or (old[key].size, old[key].modified) != (new[key].size, new[key].modified)
        }
        assert {row["key"]: row["version_id"] for row in rows} == expected
        assert changes.balance_violation is None
        assert (changes.baseline_rows, changes.snapshot_rows) == (len(old), len(new))


def test_records_with_versions_are_rejected_by_code_that_knows_none(store: LocalStore) -> None:
    """Old code supports format 3 only."""
    records = (LAYOUT.snapshot(DAY, ""), LAYOUT.manifest(DAY))
    for versions, expected in ((None, 3), (Versions(), 4)):
        merged(store, snapshot_at(store, sample_history(), versions))
        found = [json.loads(store.read(key) or b"")["format"] for key in records]
        assert found == [expected, expected]


def test_records_with_versions_that_say_the_format_of_objects_are_read(store: LocalStore) -> None:
    snapshot = snapshot_at(store, sample_history(), Versions())
    manifest = merged(store, snapshot)
    for key in (LAYOUT.snapshot(DAY, ""), LAYOUT.manifest(DAY)):
        store.publish(key, (store.read(key) or b"").replace(b'"format": 4', b'"format": 3'))
    assert read_snapshot(store, LAYOUT, DAY, "") == snapshot
    assert read_manifest(store, LAYOUT, DAY) == manifest


def test_a_day_of_versions_is_compared_with_one_of_current_objects(store: LocalStore) -> None:
    history = sample_history()
    before = merged(store, snapshot_at(store, history, None))
    history.put("a", 50, 50)
    snapshot = snapshot_at(store, history, Versions(), DAY + timedelta(days=1))
    changes = publish_changes(store, LAYOUT, snapshot, before, NOW)
    (table,) = read_changed_records(store, changes.file, [WHOLE])
    # The model's current objects have other ETags than its versions.
    assert table.select(["key", "change", "version_id"]).to_pylist() == [
        {"key": "a", "change": "modified", "version_id": "v6"},
        {"key": "c/1", "change": "modified", "version_id": "v5"},
    ]


def test_a_listing_that_was_stopped_is_resumed_for_the_same_moment_alone(
    store: LocalStore, logged: pytest.LogCaptureFixture
) -> None:
    history = History()
    for number in range(60):
        history.put(f"{number // 3:02}", number, number)
    stopped = ShardLister(
        VersionedS3(history, 5, damaged=range(8, 99)), store, LAYOUT, now=lambda: NOW
    )
    with pytest.raises(RetriesExhausted):
        stopped.list_shard(DAY, Shard(""), Versions())
    lister = VersionedS3(history, 5)
    shard_lister = ShardLister(lister, store, LAYOUT, now=lambda: NOW)
    found = shard_lister.list_shard(DAY, Shard(""), Versions())
    assert any("continuing an unfinished listing" in message for message in logged.messages)
    assert found.fingerprint == snapshot_at(store, history, Versions()).fingerprint
    assert failed_rules(validate_files(store, found)) == []

    stopped = ShardLister(
        VersionedS3(history, 5, damaged=range(8, 99)), store, LAYOUT, now=lambda: NOW
    )
    with pytest.raises(RetriesExhausted):
        stopped.list_shard(DAY, Shard(""), Versions())
    logged.clear()
    shard_lister.list_shard(DAY, Shard(""), at(30))
    assert any("listing from the beginning" in message for message in logged.messages)


def test_the_manifest_names_the_columns_of_versions_in_s3_inventorys_order(
    store: LocalStore,
) -> None:
    manifest = merged(store, snapshot_at(store, sample_history(), Versions()))
    document = (store.read(LAYOUT.s3_manifest(DAY)) or b"").decode()
    assert (
        "required binary key (STRING);  optional binary version_id (STRING);  "
        "optional boolean is_latest;  optional boolean is_delete_marker;  optional int64 size;"
    ) in document
    schema = pq.read_schema(store.path(manifest.parts[0].key))
    assert schema.equals(VERSION_RECORD_SCHEMA)
    assert (manifest.rows, manifest.objects, manifest.object_bytes) == (6, 2, 35)


def test_record_columns_without_versions_are_unchanged() -> None:
    assert RECORD_SCHEMA.names == [
        "bucket",
        "key",
        "size",
        "last_modified_date",
        "e_tag",
        "storage_class",
        "is_multipart_uploaded",
        "checksum_algorithm",
        "object_owner",
    ]
    assert csv_file_schema(VERSION_RECORD_SCHEMA).startswith(
        "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag,"
    )


def test_exports_hold_every_version_by_its_id(store: LocalStore) -> None:
    manifest = merged(store, snapshot_at(store, sample_history(), Versions()))
    name = "batch-operations.csv"
    file = publish_export(store, LAYOUT, manifest, name, ExportFormat.named(name))
    assert (store.read(file.key) or b"").decode().splitlines() == [
        "model,a,v1",
        "model,a,null",
        "model,b,v3",
        "model,b,v2",
        "model,c/1,v5",
        "model,c/1,v4",
    ]
    files = publish_csv_inventory(store, LAYOUT, manifest)
    lines = [line for f in files for line in gzip.decompress(store.read(f.key) or b"").splitlines()]
    assert lines[2].startswith(b'"model","b","v3","true","true","","1970-01-01T00:00:00.020Z",')


def test_the_manifest_says_when_a_past_day_was_observed_and_what_is_missing(
    store: LocalStore,
) -> None:
    history = sample_history()
    live = merged(store, snapshot_at(store, history, Versions()))
    assert live.reconstruction is None
    moment = end_of(DAY, "UTC")
    late = merged(store, snapshot_at(store, history, Versions(moment)))
    assert late.reconstruction
    assert (late.reconstruction.as_of, late.reconstruction.shards) == (moment, 1)
    assert late.reconstruction.observed_from == NOW
    document = (store.read(LAYOUT.manifest(DAY)) or b"").decode()
    assert '"as_of": "2026-05-05T23:59:59.999000Z"' in document
    assert "deleted for good before the listing" in document


def test_shards_of_versions_and_of_objects_make_no_inventory(store: LocalStore) -> None:
    prefixes = ["", "c/"]
    snapshots = {
        prefix: snapshot_at(store, sample_history(), versions, shard=make_shard(prefix, prefixes))
        for prefix, versions in zip(prefixes, (None, Versions()), strict=True)
    }
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    assert any("some shards hold versions" in violation for violation in violations_of(manifest))


def test_a_sample_of_versions_agrees_until_one_is_lost(store: LocalStore) -> None:
    history = sample_history()
    manifest = merged(store, snapshot_at(store, history, at(30)))
    inventory = VerificationTarget.of_manifest(store, LAYOUT, manifest)
    assert not verify(inventory, VersionedS3(history), Random(1)).findings  # noqa: S311
    without = replace(inventory, parts=manifest.parts[1:])
    found = verify(without, VersionedS3(history), Random(1))  # noqa: S311
    assert {*found.findings.values()} == {Finding.MISSING}
    assert all("(version " in key for key in found.findings)


class HidesVersions(VersionedS3):
    """Shows some versions only when their key is asked for by its name."""

    def __init__(self, history: History, hidden: set[str]) -> None:
        super().__init__(history, 100)
        self._hidden = hidden

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        if not request.versions or request.prefix in {each.key for each in self._listed}:
            return page
        ids = page.objects.column("version_id").to_pylist()
        shown = pa.array([name not in self._hidden for name in ids], pa.bool_())
        return replace(page, objects=page.objects.filter(shown))


def names_of(versions: list[Version]) -> set[str]:
    return {f"{each.key} (version {each.version_id})" for each in versions}


@settings(deadline=None, max_examples=50)
@given(histories("ab-"), histories("ab-"), st.sets(st.integers(1, 30)))
def test_versions_that_seem_deleted_are_looked_up_by_key(
    history: History, other: History, numbers: set[int]
) -> None:
    hidden = {f"v{number}" for number in numbers}
    with new_store() as store:
        manifest = merged(store, snapshot_at(store, history, Versions()))
        inventory = VerificationTarget.of_manifest(store, LAYOUT, manifest)
        hiding = verify(inventory, HidesVersions(history, hidden), Random(1))  # noqa: S311
        elsewhere = verify(inventory, VersionedS3(other, 100), Random(1))  # noqa: S311
    contradicted = [each for each in history.listed() if each.version_id in hidden]
    assert hiding.findings == dict.fromkeys(names_of(contradicted), Finding.CONTRADICTED)
    gone = {name for name, kind in elsewhere.findings.items() if kind is Finding.MISSING_IN_BUCKET}
    assert gone == names_of(history.listed()) - names_of(other.listed())


def test_versions_of_a_store_in_directory_order_are_rejected(store: LocalStore) -> None:
    shard_lister = ShardLister(
        VersionedS3(History()), store, LAYOUT, KeyOrder.DIRECTORY, lambda: NOW
    )
    with pytest.raises(VersionsNotListed, match="set versions = false"):
        shard_lister.list_shard(DAY, Shard(""), Versions())


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("UTC", "2026-05-05T23:59:59.999+00:00"),
        ("Europe/Zurich", "2026-05-05T21:59:59.999+00:00"),
        ("America/New_York", "2026-05-06T03:59:59.999+00:00"),
    ],
)
def test_a_past_date_is_seen_as_of_its_last_millisecond(zone: str, moment: str) -> None:
    assert versions_of(DAY, NOW, zone) == Versions(datetime.fromisoformat(moment))


def test_the_present_date_has_all_versions_and_a_future_one_is_rejected() -> None:
    assert versions_of(NOW.date(), NOW, "UTC") == Versions()
    with pytest.raises(DateNotObservable, match="is in the future"):
        versions_of(NOW.date() + timedelta(days=1), NOW, "UTC")
