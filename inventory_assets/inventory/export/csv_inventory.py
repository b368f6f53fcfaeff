"""Publish a date once more as an S3 Inventory in CSV, for those who read nothing else.

It is a configuration of its own beside the source's, named `<source>-csv`. Each Parquet file
becomes one CSV file; one written for an earlier date is listed again, not written again.
"""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import PurePosixPath

import pyarrow as pa

from inventory_assets.inventory.export.export_format import ExportFormat
from inventory_assets.inventory.export.exporter import md5_of, write_export
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.s3_inventory_format import (
    DataFile,
    manifest_checksum,
    manifest_document,
    symlinks,
)
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.storage.commit import RecordFile, commit
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.storage.tombstones import unmarked_key
from inventory_assets.scan.keyspace.key_range import KeyRange

SUFFIX = "csv.gz"
"""S3 Inventory's own CSV files are compressed so, and readers look for the suffix."""


def csv_inventory_etag(store: Store, layout: Layout, day: date) -> str:
    """What tells a date's inventory in CSV from one that another run publishes later."""
    return store.etag(layout.csv.s3_manifest(day))


def publish_csv_inventory(
    store: Store, layout: Layout, manifest: Manifest, expected_etag: str | None = None
) -> tuple[DataFile, ...]:
    """Publish the files of `layout.csv` for a manifest's date; `manifest.checksum` comes last.

    Args:
        store: Where the manifest's parts lie.
        layout: The source's.
        manifest: What is published.
        expected_etag: The date's `csv_inventory_etag` when this run began to read the manifest;
            None for what it is now.

    Returns:
        The data files, in key order.

    Raises:
        CorruptRecord: A part is missing or damaged.
        ConflictError: Another run published the date's inventory in CSV in the meantime.
        StoreError: A file could not be written.
    """
    if expected_etag is None:
        expected_etag = csv_inventory_etag(store, layout, manifest.day)
    known = _written_before(store, layout.csv)
    files = tuple(
        known.get(_stem(part)) or _write(store, layout.csv, part, manifest.schema)
        for part in manifest.parts
    )
    document = manifest_document(
        manifest.bucket, store.destination, manifest.created_at, "CSV", files, manifest.schema
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


def _write(store: Store, layout: Layout, part: Part, schema: pa.Schema) -> DataFile:
    everything = [KeyRange.of_prefix("")]
    with store.scratch() as folder:
        path = folder / "data"
        with path.open("wb") as file:
            batches = read_records(store, [part], everything)
            write_export(ExportFormat.of(SUFFIX), batches, schema, file)
        digest = md5_of(path)
        # Another compressor may make another file of the same records, which must not replace one
        # that an older manifest lists.
        named = layout.data(f"{_stem(part)}-{digest}.{SUFFIX}")
        key = unmarked_key(store, named, f".{SUFFIX}")
        written = DataFile(key, path.stat().st_size, digest)
        store.publish_file(key, path)
    return written


def _written_before(store: Store, layout: Layout) -> Mapping[str, DataFile]:
    """The files that the newest manifest lists, as far as they are there, by their parts."""
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
    there = set(store.list_names(layout.data_folder))
    return {
        name.partition("-")[0]: file
        for file in listed
        if (name := PurePosixPath(file.key).name) in there
    }


def _stem(part: Part) -> str:
    return PurePosixPath(part.key).stem
