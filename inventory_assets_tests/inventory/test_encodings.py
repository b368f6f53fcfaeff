"""Parts for readers without delta encodings: the same records in plain encodings."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inventory_assets.inventory.changes.shard_changes import publish_changes
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import publish_export
from inventory_assets.inventory.listing.checkpoint_record import listing_fingerprint
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.parts.part import part_exists
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.encodings import Encodings, encodings_of
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, records_of
from inventory_assets_tests.inventory.test_readers import FILES, fastparquet_reads

PLAIN = replace(LAYOUT, encodings=Encodings.PLAIN)
READ_BY_ALL = {"PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED"}
KEYS = [f"{number:04}" for number in range(300)]


def encodings_in(path: Path) -> set[str]:
    """All encodings that the footer of a file names."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        return {
            encoding
            for group in range(metadata.num_row_groups)
            for column in range(metadata.num_columns)
            for encoding in metadata.row_group(group).column(column).encodings
        }


@pytest.fixture(scope="module")
def plain(roomy_store: LocalStore) -> list[Path]:
    with (
        patch.object(part_writer, "ROW_GROUP_ROWS", 8),
        PartWriter(roomy_store, PLAIN) as writer,
    ):
        for group in FILES:
            writer.write(records_of(group))
            writer.finish_part()
    return [roomy_store.path(part.key) for part in writer.parts]


def test_plain_parts_use_only_encodings_that_all_readers_know(plain: list[Path]) -> None:
    assert len(plain) == len(FILES)
    assert {each for path in plain for each in encodings_in(path)} <= READ_BY_ALL


@pytest.mark.parametrize("column", RECORD_SCHEMA.names)
@pytest.mark.filterwarnings("ignore:The 'future.infer_string' option is deprecated")
def test_a_reader_without_delta_encodings_reads_plain_parts_whole(
    plain: list[Path], column: str
) -> None:
    expected = pa.Table.from_batches(map(records_of, FILES)).column(column).to_pylist()
    assert [value for path in plain for value in fastparquet_reads(path, column)] == expected


def listed_on(store: LocalStore, days: int, encodings: Encodings, keys: list[str]) -> Snapshot:
    layout = replace(LAYOUT, bucket="model", encodings=encodings)
    snapshot = ShardLister(ModelS3(keys, 100), store, layout).list_shard(
        DAY + timedelta(days), Shard("")
    )
    publish_manifest(store, layout, merge(store, layout, "", {"": snapshot}, NOW))
    return snapshot


def test_after_a_change_of_the_encodings_parts_are_written_again_once(store: LocalStore) -> None:
    """Nothing downstream is stale for it: the records are the same."""
    compact = listed_on(store, 0, Encodings.COMPACT, KEYS)
    plain, again = (listed_on(store, days, Encodings.PLAIN, KEYS) for days in (1, 2))
    assert plain.fingerprint == compact.fingerprint
    assert (plain.reuse.parts, again.reuse.parts) == (0, len(plain.parts))
    assert again.parts == plain.parts
    assert not {part.key for part in compact.parts} & {part.key for part in plain.parts}
    for part in plain.parts:
        assert encodings_of(part.key) is Encodings.PLAIN
        assert encodings_in(store.path(part.key)) <= READ_BY_ALL
    back = listed_on(store, 3, Encodings.COMPACT, [*KEYS, "5"])
    assert all(encodings_of(part.key) is Encodings.COMPACT for part in back.parts)
    assert all(part_exists(store, part) for part in (*compact.parts, *plain.parts, *back.parts))


def test_changes_and_exports_are_encoded_like_the_parts(store: LocalStore) -> None:
    snapshot = listed_on(store, 0, Encodings.PLAIN, KEYS)
    layout = replace(LAYOUT, bucket="model", encodings=Encodings.PLAIN)
    changes = publish_changes(store, layout, snapshot, None, NOW)
    manifest = merge(store, layout, "", {"": snapshot}, NOW)
    export = publish_export(store, layout, manifest, "parquet", ExportFormat.named("parquet"))
    for key in (changes.file, export.key):
        assert encodings_in(store.path(key)) <= READ_BY_ALL
    assert "DELTA_BYTE_ARRAY" in {
        each
        for part in listed_on(store, 1, Encodings.COMPACT, KEYS).parts
        for each in encodings_in(store.path(part.key))
    }


def test_a_listing_in_other_encodings_is_not_resumed() -> None:
    bucket_config = BucketConfig("bucket")
    identities = {
        listing_fingerprint(bucket_config, "", encodings=encodings) for encodings in Encodings
    }
    assert len(identities) == len(Encodings)
    assert listing_fingerprint(bucket_config, "") in identities
