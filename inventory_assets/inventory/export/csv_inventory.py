"""Publish a date as an S3 Inventory in CSV, for readers that do not support Parquet.

It is an inventory configuration of its own, named `<source>-csv`. Each Parquet file becomes one CSV
file; a CSV file written for an earlier date is reused.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

import pyarrow as pa

from inventory_assets.inventory.export.described_records import described, described_schema
from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import md5_of, write_export
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.s3_inventory_format import (
    DataFile,
    manifest_checksum,
    manifest_document,
    symlinks,
)
from inventory_assets.inventory.metadata.date_metadata import MetadataFile
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.commit import RecordFile, commit
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key
from inventory_assets.scan.keyspace.key_range import KeyRange

SUFFIX = "csv.gz"
"""The suffix of S3 Inventory's CSV files, which readers expect."""

_FORMAT = ExportFormat.of(SUFFIX)


def csv_inventory_etag(store: Store, layout: Layout, day: date) -> str:
    """The ETag of a date's CSV inventory; it changes when another run publishes one."""
    return store.etag(layout.csv.s3_manifest(day))


def publish_csv_inventory(
    store: Store,
    layout: Layout,
    manifest: Manifest,
    expected_etag: str | None = None,
    metadata: Sequence[MetadataFile] | None = None,
) -> tuple[DataFile, ...]:
    """Publish the files of `layout.csv` for a manifest's date; `manifest.checksum` comes last.

    Args:
        store: The store of the manifest's parts.
        layout: The layout of the source.
        manifest: The manifest to publish.
        expected_etag: The `csv_inventory_etag` of the date from before the manifest was read; None
            for the current one.
        metadata: The files of metadata whose fields are added; None to add none.

    Returns:
        The data files, in key order.

    Raises:
        CorruptRecord: A part, or a file of metadata, is missing or damaged.
        ConflictError: Another run has published the date's CSV inventory since.
        StoreError: A file could not be written.
    """
    if expected_etag is None:
        expected_etag = csv_inventory_etag(store, layout, manifest.day)
    reusable = _reusable_files(store, layout.csv)
    contents = [CsvContent.of(part, metadata) for part in manifest.parts]
    files = tuple(
        reusable.get(content.stem) or _write(store, layout.csv, content, manifest.schema)
        for content in contents
    )
    schema = manifest.schema if metadata is None else described_schema(manifest.schema, _FORMAT)
    document = manifest_document(
        manifest.bucket, store.destination, manifest.created_at, "CSV", files, schema
    )
    links = symlinks([store.uri(file.key) for file in files])
    head = layout.csv.s3_manifest(manifest.day)
    commit(
        store,
        RecordFile(head, document, [file.key for file in files]),
        expected_etag,
        dependents=[
            (layout.csv.symlink(manifest.day), links),
            (layout.csv.checksum(manifest.day), manifest_checksum(document)),
        ],
    )
    return files


@dataclass(frozen=True, slots=True)
class CsvContent:
    """What a CSV file holds.

    Attributes:
        part: The records.
        metadata: The files with the metadata of their objects; None for a file without metadata.
    """

    part: Part
    metadata: tuple[MetadataFile, ...] | None

    @classmethod
    def of(cls, part: Part, metadata: Sequence[MetadataFile] | None) -> "CsvContent":
        """The content of a part's CSV file."""
        if metadata is None:
            return cls(part, None)
        found = (
            each
            for each in metadata
            if each.part.first_key <= part.last_key and each.part.last_key >= part.first_key
        )
        return cls(part, tuple(found))

    @property
    def stem(self) -> str:
        """The beginning of the file's name; equal contents have an equal one."""
        stem = PurePosixPath(self.part.key).stem
        if self.metadata is None:
            return stem
        names = "\n".join(each.part.file for each in self.metadata)
        return f"{stem}.{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def batches(
        self, store: Store, schema: pa.Schema
    ) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:
        """The records, and their schema, from the schema of the part."""
        records = read_records(store, [self.part], [KeyRange.of_prefix("")])
        if self.metadata is None:
            return records, schema
        schema = described_schema(schema, _FORMAT)
        return described(store, self.metadata, records, schema), schema


def _write(store: Store, layout: Layout, content: CsvContent, schema: pa.Schema) -> DataFile:
    with store.scratch() as folder:
        path = folder / "data"
        with path.open("wb") as file:
            write_export(_FORMAT, *content.batches(store, schema), file)
        digest = md5_of(path)
        # The name has the digest: another version of the compressor may write different bytes,
        # which must not replace a file that an older manifest lists.
        named = layout.data(f"{content.stem}-{digest}.{SUFFIX}")
        key = unmarked_key(store, named, f".{SUFFIX}")
        written = DataFile(key, path.stat().st_size, digest)
        store.publish_file(key, path)
    return written


def _reusable_files(store: Store, layout: Layout) -> Mapping[str, DataFile]:
    """The existing files that the newest CSV manifest lists, by the stem of their part."""
    days: list[date] = [
        day for name in store.list_names(layout.base) if (day := day_of_folder(name))
    ]
    if not days:
        return {}
    try:
        document = json.loads(store.read(layout.s3_manifest(max(days))) or b"")
        listed = [
            DataFile(
                layout.data(PurePosixPath(file["key"]).name), file["size"], file["MD5checksum"]
            )
            for file in document["files"]
        ]
    except (ValueError, KeyError, TypeError):
        return {}
    existing = set(store.list_names(layout.data_folder))
    return {
        name.partition("-")[0]: file
        for file in listed
        if (name := PurePosixPath(file.key).name) in existing
    }
