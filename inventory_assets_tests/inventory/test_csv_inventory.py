import csv
import gzip
import io
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from urllib.parse import unquote

import pyarrow as pa
import pytest

from inventory_assets.inventory.errors import ConflictError
from inventory_assets.inventory.export import csv_inventory
from inventory_assets.inventory.export.csv_inventory import (
    csv_inventory_etag,
    publish_csv_inventory,
)
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.manifest.s3_inventory_format import DataFile, manifest_checksum
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import (
    DAY,
    HOSTILE_KEYS,
    LAYOUT,
    NOW,
    listed,
    snapshot_of,
)

NEXT_DAY = DAY + timedelta(days=1)


def manifest_of(store: LocalStore, keys: Iterable[str]) -> Manifest:
    """Of two shards."""
    held = list(keys)
    snapshots = {}
    for prefix in ("", "a/"):
        shard = make_shard(prefix, ["", "a/"])
        snapshots[prefix] = snapshot_of(store, shard, listed(filter(shard.covers, held)))
    return merge(store, LAYOUT, "", snapshots, NOW)


def keys_in(store: LocalStore, file: DataFile) -> list[str]:
    lines = gzip.decompress(store.read(file.key) or b"").decode()
    return [unquote(row[1]) for row in csv.reader(io.StringIO(lines))]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Part]:
    """The parts of which a data file is written."""
    parts: list[Part] = []
    plain = csv_inventory._write

    def noting(
        store: LocalStore, layout: Layout, content: csv_inventory.CsvContent, schema: pa.Schema
    ) -> DataFile:
        parts.append(content.part)
        return plain(store, layout, content, schema)

    monkeypatch.setattr(csv_inventory, "_write", noting)
    return parts


def test_the_files_read_one_after_the_other_hold_every_key_in_order(store: LocalStore) -> None:
    keys = [*HOSTILE_KEYS, "a/1", "a/2", "b"]
    files = publish_csv_inventory(store, LAYOUT, manifest_of(store, keys))
    assert len(files) == 3
    assert [key for file in files for key in keys_in(store, file)] == sorted(keys)


def test_a_part_that_did_not_change_is_not_written_again(
    store: LocalStore, written: list[Part]
) -> None:
    first = publish_csv_inventory(store, LAYOUT, manifest_of(store, ["a/1", "b"]))
    later = replace(manifest_of(store, ["a/1", "b", "c"]), day=NEXT_DAY)
    second = publish_csv_inventory(store, LAYOUT, later)
    assert len(written) == 3
    assert first[0] == second[0]
    document = json.loads(store.read(LAYOUT.csv.s3_manifest(NEXT_DAY)) or b"")
    assert [file["key"] for file in document["files"]] == [file.key for file in second]


def test_a_file_that_vanished_is_written_again(store: LocalStore, written: list[Part]) -> None:
    manifest = manifest_of(store, ["a/1", "b"])
    files = publish_csv_inventory(store, LAYOUT, manifest)
    store.path(files[0].key).unlink()
    assert publish_csv_inventory(store, LAYOUT, manifest) == files
    assert (len(written), keys_in(store, files[0])) == (3, ["a/1"])


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"files": [{}]}', b"\xff", b"[]"])
def test_a_damaged_csv_manifest_is_ignored(store: LocalStore, damage: bytes) -> None:
    manifest = manifest_of(store, ["a/1", "b"])
    files = publish_csv_inventory(store, LAYOUT, manifest)
    store.publish(LAYOUT.csv.s3_manifest(DAY), damage)
    assert publish_csv_inventory(store, LAYOUT, manifest) == files


def test_of_two_concurrent_runs_for_a_date_the_first_publishes(store: LocalStore) -> None:
    before = csv_inventory_etag(store, LAYOUT, DAY)
    first = publish_csv_inventory(store, LAYOUT, manifest_of(store, ["a/1", "b"]), before)
    second = manifest_of(store, ["a/1", "c"])
    with pytest.raises(ConflictError):
        publish_csv_inventory(store, LAYOUT, second, before)
    document = store.read(LAYOUT.csv.s3_manifest(DAY)) or b""
    assert [file["key"] for file in json.loads(document)["files"]] == [file.key for file in first]
    assert store.read(LAYOUT.csv.checksum(DAY)) == manifest_checksum(document)


def test_a_bucket_without_objects_has_a_manifest_without_files(store: LocalStore) -> None:
    assert publish_csv_inventory(store, LAYOUT, manifest_of(store, [])) == ()
    assert store.read(LAYOUT.csv.symlink(DAY)) == b""
