"""The schema of records; other schemas are derived from it.

Names, order and types are S3 Inventory's
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html).
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

VERSION_RECORD_SCHEMA = pa.schema(
    [
        pa.field("bucket", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("version_id", pa.string()),
        pa.field("is_latest", pa.bool_()),
        pa.field("is_delete_marker", pa.bool_()),
        pa.field("size", pa.int64()),
        pa.field("last_modified_date", pa.timestamp("ms", tz="UTC")),
        pa.field("e_tag", pa.string()),
        pa.field("storage_class", pa.string()),
        pa.field("is_multipart_uploaded", pa.bool_()),
        pa.field("checksum_algorithm", pa.string()),
        pa.field("object_owner", pa.string()),
    ]
)
"""The schema of versions and delete markers; a delete marker has no size, ETag or storage class.

Keys are UTF-8 and byte-exact; sizes are in bytes; times are UTC, in ms. The versions of a key are
sorted from new to old; the version id is `null` if versioning was off. ETags have no quotes; an
ETag that ends in `-N` is that of a multipart upload in N parts, and not a hash of the content.
"""

VERSION_COLUMNS = ["version_id", "is_latest", "is_delete_marker"]

RECORD_SCHEMA = pa.schema(
    [field for field in VERSION_RECORD_SCHEMA if field.name not in VERSION_COLUMNS]
)
"""The schema of objects, if versions are not listed."""

NO_STORAGE_CLASS = "UNKNOWN"
"""The storage class of objects without one, in totals."""

COLUMN_DESCRIPTIONS = {
    "bucket": "The bucket that was listed.",
    "key": "The object's key, byte for byte as S3 holds it.",
    "version_id": "The version's id; null, as text, where the bucket kept no versions then.",
    "is_latest": "Whether it is the newest of the key's versions and delete markers.",
    "is_delete_marker": "Whether it is a delete marker, which hides the versions before it.",
    "size": "Bytes of the object.",
    "last_modified_date": "When the object was created or last replaced, UTC.",
    "e_tag": "The entity tag, without quotes; no content hash where it ends in -N.",
    "storage_class": "S3's storage class; null where the store names none.",
    "is_multipart_uploaded": "Whether the object was uploaded in parts, as its ETag tells.",
    "checksum_algorithm": "Checksum algorithms of the object, comma-separated.",
    "object_owner": "The owner's id, where the store tells it.",
}


def record_schema(*, of_versions: bool) -> pa.Schema:
    """The schema of the records of a source with or without versions."""
    return VERSION_RECORD_SCHEMA if of_versions else RECORD_SCHEMA


def has_versions(schema: pa.Schema) -> bool:
    """Whether a schema, or a selection of its columns, is that of versions."""
    return "is_latest" in schema.names


def are_current(records: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
    """A mask of the current objects: the latest versions that are no delete markers."""
    return pc.and_not(records.column("is_latest"), records.column("is_delete_marker"))


def listed_classes(classes: pa.StringArray) -> pa.StringArray:
    """The storage classes of totals as in a listing: "" where the store names none."""
    return pc.if_else(pc.equal(classes, NO_STORAGE_CLASS), "", classes)


def to_records(objects: pa.RecordBatch, bucket: str) -> pa.RecordBatch:
    """Convert listed objects to records.

    Args:
        objects: A batch with `OBJECT_SCHEMA` or `VERSION_SCHEMA`.
        bucket: The bucket of the objects.

    Returns:
        A batch with `RECORD_SCHEMA` or `VERSION_RECORD_SCHEMA`, with the same number of rows.
    """
    derived = {
        "bucket": pa.repeat(pa.scalar(bucket), objects.num_rows),
        "is_multipart_uploaded": are_multipart(objects.column("e_tag")),
    }
    schema = record_schema(of_versions=has_versions(objects.schema))
    arrays = [
        derived[field.name] if field.name in derived else objects.column(field.name)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


_MD5_DIGITS = 32


def are_multipart(e_tags: pa.StringArray) -> pa.BooleanArray:
    """Whether each ETag ends in `-N`, as those of multipart uploads do; null without an ETag.

    An ETag of 32 characters is assumed to be an MD5.
    """
    _validity, offsets, data = e_tags.buffers()
    flags = np.zeros(len(e_tags), np.bool_)
    if data is not None:
        bounds = np.frombuffer(offsets, np.int32, len(e_tags) + 1, 4 * e_tags.offset)
        # Skip MD5s, which most ETags are.
        rows = np.flatnonzero(np.diff(bounds) != _MD5_DIGITS)
        ends = pc.match_substring_regex(e_tags.take(pa.array(rows)), "-[0-9]+$")
        flags[rows] = pc.fill_null(ends, False).to_numpy(zero_copy_only=False)
    bits = pa.py_buffer(np.packbits(flags, bitorder="little"))
    validity = e_tags.is_valid().buffers()[1] if e_tags.null_count else None
    return pa.BooleanArray.from_buffers(pa.bool_(), len(e_tags), [validity, bits])
