"""Join the records of an inventory with the metadata of their objects, for exports.

Both are sorted by key, and are read side by side: memory holds a few row groups of each.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.export.export_format import Dialect, ExportFormat
from inventory_assets.inventory.metadata.date_metadata import MetadataFile
from inventory_assets.inventory.metadata.known_rows import KnownRows, SortedFile
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.inventory.storage.store import Store

_AFTER = "is_multipart_uploaded"
"""The column of S3 Inventory after which the fields of `_OF_S3_INVENTORY` come."""

_BUCKET_KEY = "bucket_key_status"
_LEGAL_HOLD = "object_lock_legal_hold_status"

_OF_S3_INVENTORY = [
    pa.field("replication_status", pa.string()),
    pa.field("encryption_status", pa.string()),
    METADATA_SCHEMA.field("object_lock_retain_until_date"),
    pa.field("object_lock_mode", pa.string()),
    pa.field(_LEGAL_HOLD, pa.string()),
    pa.field(_BUCKET_KEY, pa.string()),
]
"""The optional fields of S3 Inventory that metadata tells, in the order of its files.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_InventoryConfiguration.html. Of
`IntelligentTieringAccessTier`, a request for an object tells the archive tiers alone, so it is
left out.
"""


def carries_metadata(export_format: ExportFormat) -> bool:
    """Whether files of a format have columns of metadata: all but S3 Batch Operations' manifest."""
    return export_format.shape != "csv" or export_format.dialect is not Dialect.BATCH_OPERATIONS


def described_schema(records: pa.Schema, export_format: ExportFormat) -> pa.Schema:
    """The schema of records with metadata.

    In S3 Inventory's own CSV, it has the fields that S3 Inventory has; in other formats, all
    columns of metadata that the records do not have themselves.
    """
    if not carries_metadata(export_format):
        return records
    if export_format.shape == "csv" and export_format.dialect is Dialect.S3_INVENTORY:
        fields = ([each, *_OF_S3_INVENTORY] if each.name == _AFTER else [each] for each in records)
        return pa.schema(chain.from_iterable(fields))
    others = {*records.names, *IDENTITY_COLUMNS}
    return pa.schema([*records, *(each for each in METADATA_SCHEMA if each.name not in others)])


def described(
    store: Store,
    files: Sequence[MetadataFile],
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
) -> Iterator[pa.RecordBatch]:
    """Add metadata to records.

    A record has the metadata of the object with its key, version, ETag and time; the columns are
    null where there is none. The checksum algorithm is that of the listing, or else that of the
    metadata.

    Args:
        store: The store of the files.
        files: The files of metadata.
        batches: Non-empty batches of records with all columns, keys ascending.
        schema: A `described_schema` of them.

    Raises:
        CorruptRecord: A file is missing or damaged.
    """
    sorted_files = [
        SortedFile(each.part.file, each.part.first_key, each.part.last_key) for each in files
    ]
    with closing(KnownRows(store, sorted_files)) as known:
        for batch in batches:
            rows = known.rows_of(_identities(batch))
            if _BUCKET_KEY in schema.names:
                rows = _as_in_s3_inventory(rows)
            columns = [_column(each.name, batch, rows) for each in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _identities(records: pa.RecordBatch) -> pa.Table:
    columns = [
        records.column(name)
        if name in records.schema.names
        else pa.nulls(records.num_rows, METADATA_SCHEMA.field(name).type)
        for name in IDENTITY_COLUMNS
    ]
    return pa.Table.from_arrays(columns, IDENTITY_COLUMNS)


def _as_in_s3_inventory(rows: pa.Table) -> pa.Table:
    """Metadata with the values that S3 Inventory has, where a HEAD request has others."""
    uses_bucket_key = rows.column("is_bucket_key_enabled")
    statuses = pc.if_else(uses_bucket_key, "ENABLED", "DISABLED")
    at = rows.schema.get_field_index(_LEGAL_HOLD)
    holds = pc.utf8_capitalize(rows.column(_LEGAL_HOLD))
    return rows.set_column(at, _LEGAL_HOLD, holds).append_column(_BUCKET_KEY, statuses)


def _column(name: str, records: pa.RecordBatch, rows: pa.Table) -> pa.Array:
    if name not in records.schema.names:
        return rows.column(name).combine_chunks()
    if name == "checksum_algorithm":
        return pc.coalesce(records.column(name), rows.column(name).combine_chunks())
    return records.column(name)
