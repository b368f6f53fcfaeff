"""Changed records in the vocabulary of S3 Metadata's journal table.

Column names and values are the journal's
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-schema.html), as far as a
listing can tell them; columns of this project follow. A journal has a row for each write. This one
has a row for each key that differs between two listings: an object that was created and deleted
between them has none, and a key that was written twice has one.
"""

from datetime import date, datetime
from enum import StrEnum

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.changes.sorted_diff import COMPARED_COLUMNS, Change
from inventory_assets.inventory.parts.schema import (
    COLUMN_DESCRIPTIONS,
    RECORD_SCHEMA,
    are_multipart,
)

_MD5 = "^[0-9a-fA-F]{32}$"


class JournalRecordType(StrEnum):
    """The name of a change in the journal."""

    CREATE = "CREATE"
    UPDATE_METADATA = "UPDATE_METADATA"
    DELETE = "DELETE"


RECORD_TYPES = {
    Change.CREATED: JournalRecordType.CREATE,
    Change.MODIFIED: JournalRecordType.CREATE,
    # A copy of an object onto itself is a write: S3 gives it a new LastModified.
    Change.TOUCHED: JournalRecordType.CREATE,
    Change.TRANSITIONED: JournalRecordType.UPDATE_METADATA,
    Change.DELETED: JournalRecordType.DELETE,
}


class ContentEvidence(StrEnum):
    """The evidence that the content of a modified object has changed."""

    SIZE = "size"
    """The sizes differ: the content has certainly changed."""
    E_TAG = "e_tag"
    """Only the ETags differ, and both have the form of an MD5. So it has changed, unless the
    object is encrypted with SSE-KMS or SSE-C: then the ETag only looks like a hash, and differs
    after each write of the same bytes. A listing does not tell how an object is encrypted."""
    NONE = "none"
    """Only the ETags differ, and one of them is no MD5: missing, of another form, or `-N` of an
    upload in N parts, which depends on the sizes of the parts. The bytes may be equal."""


CHANGE_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("sequence_number", pa.string(), nullable=False),
        pa.field("record_type", pa.string(), nullable=False),
        pa.field("record_timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("is_delete_marker", pa.bool_()),
        *[RECORD_SCHEMA.field(name) for name in COMPARED_COLUMNS],
        pa.field("is_multipart", pa.bool_()),
        RECORD_SCHEMA.field("checksum_algorithm"),
        pa.field("change", pa.string(), nullable=False),
        pa.field("content_evidence", pa.string()),
        *[RECORD_SCHEMA.field(name).with_name(f"previous_{name}") for name in COMPARED_COLUMNS],
    ]
)
"""A changed record: the new values, null where deleted, and the old, null where created."""

CHANGE_DESCRIPTIONS = {
    **COLUMN_DESCRIPTIONS,
    "sequence_number": "The date of the inventory; of a key's rows, the greatest is the latest.",
    "record_type": "CREATE, UPDATE_METADATA or DELETE, as in S3 Metadata's journal table.",
    "record_timestamp": "When the listing ended that saw the change; it happened before, UTC.",
    "version_id": "The new current version's id; null where deleted, or where none are listed.",
    "is_delete_marker": "False; null where deleted, as the listing does not tell how.",
    "is_multipart": COLUMN_DESCRIPTIONS["is_multipart_uploaded"],
    "change": "created, modified, touched, transitioned or deleted.",
    "content_evidence": "Where modified: whether the size, the e_tag or none shows other content.",
    **{
        f"previous_{name}": f"The baseline's: {COLUMN_DESCRIPTIONS[name]}"
        for name in COMPARED_COLUMNS
    },
}


def to_journal(differences: pa.Table, bucket: str, day: date, seen_at: datetime) -> pa.Table:
    """Convert differences to rows of a journal.

    Args:
        differences: A table with `DIFFERENCE_SCHEMA`.
        bucket: The bucket compared.
        day: The date of the newer side.
        seen_at: The time when the listing of the newer side ended.

    Returns:
        A table with `CHANGE_SCHEMA` and the same number of rows.
    """
    rows = differences.num_rows
    change = differences.column("change")
    is_deleted = pc.equal(change, Change.DELETED.value)
    derived = {
        "bucket": pa.repeat(pa.scalar(bucket), rows),
        "sequence_number": pa.repeat(pa.scalar(day.isoformat()), rows),
        "record_type": _record_types(change),
        "record_timestamp": pa.repeat(pa.scalar(seen_at, pa.timestamp("ms", tz="UTC")), rows),
        "is_delete_marker": pc.if_else(is_deleted, pa.scalar(None, pa.bool_()), False),
        "is_multipart": are_multipart(differences.column("e_tag").combine_chunks()),
        "content_evidence": _content_evidence(differences),
    }
    columns = [
        derived[field.name] if field.name in derived else differences.column(field.name)
        for field in CHANGE_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=CHANGE_SCHEMA)


def _record_types(change: pa.ChunkedArray) -> pa.ChunkedArray:
    kinds = pa.array([kind.value for kind in RECORD_TYPES])
    types = pa.array([record_type.value for record_type in RECORD_TYPES.values()])
    return types.take(pc.index_in(change, value_set=kinds))


def _content_evidence(differences: pa.Table) -> pa.Array:
    sizes_differ = pc.not_equal(differences.column("size"), differences.column("previous_size"))
    is_modified = pc.equal(differences.column("change"), Change.MODIFIED.value)
    evidence = pc.if_else(
        is_modified,
        pc.if_else(pc.fill_null(sizes_differ, False), ContentEvidence.SIZE, ContentEvidence.NONE),
        pa.scalar(None, pa.string()),
    )
    # A regular expression is slow, and most modified objects have another size.
    unsure = pc.fill_null(pc.equal(evidence, ContentEvidence.NONE), False)
    e_tags = differences.select(["e_tag", "previous_e_tag"]).filter(unsure)
    shaped = pc.and_(*(pc.match_substring_regex(column, _MD5) for column in e_tags.columns))
    found = pc.if_else(pc.fill_null(shaped, False), ContentEvidence.E_TAG, ContentEvidence.NONE)
    return pc.replace_with_mask(_whole(evidence), _whole(unsure), _whole(found))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks()
