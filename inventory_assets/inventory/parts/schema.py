"""The one schema of a record, of a version or of an object; all else is derived from it.

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
"""A version of an object, or a delete marker, which has no size, ETag and storage class.

Keys are UTF-8 and byte-exact; sizes are bytes; times are UTC, to the ms. The versions of a key
stand newest first; one that was put while the bucket kept none is called `null`. The ETag stands
without its quotes; an ETag that ends in `-N` was uploaded in N parts and is no hash of the content.
"""

VERSION_COLUMNS = ["version_id", "is_latest", "is_delete_marker"]

RECORD_SCHEMA = pa.schema(
    [field for field in VERSION_RECORD_SCHEMA if field.name not in VERSION_COLUMNS]
)
"""An object of a bucket, where versions are not listed."""

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
    """The schema of the records of a source, which lists versions or does not."""
    return VERSION_RECORD_SCHEMA if of_versions else RECORD_SCHEMA


def has_versions(schema: pa.Schema) -> bool:
    """Whether records of a schema, or of some of its columns, tell versions apart."""
    return "is_latest" in schema.names


def are_current(records: pa.RecordBatch | pa.Table) -> pa.Array | pa.ChunkedArray:
    """Which records of versions are the current objects: the latest, and no delete markers."""
    return pc.and_not(records.column("is_latest"), records.column("is_delete_marker"))


def to_records(objects: pa.RecordBatch, bucket: str) -> pa.RecordBatch:
    """Listed objects as records.

    Args:
        objects: A batch with `s3.OBJECT_SCHEMA` or `s3.VERSION_SCHEMA`.
        bucket: The bucket they were listed from.

    Returns:
        A batch with `RECORD_SCHEMA` or `VERSION_RECORD_SCHEMA`, of as many rows.
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
    """Whether each ETag ends in `-N`, as those of uploads in parts do; null where there is none.

    One of 32 characters is taken for the MD5 of an upload in one request.
    """
    _validity, offsets, data = e_tags.buffers()
    flags = np.zeros(len(e_tags), np.bool_)
    if data is not None:
        bounds = np.frombuffer(offsets, np.int32, len(e_tags) + 1, 4 * e_tags.offset)
        # An MD5, which most are, has no room for it; to leave those out costs next to nothing.
        rows = np.flatnonzero(np.diff(bounds) != _MD5_DIGITS)
        ends = pc.match_substring_regex(e_tags.take(pa.array(rows)), "-[0-9]+$")
        flags[rows] = pc.fill_null(ends, False).to_numpy(zero_copy_only=False)
    bits = pa.py_buffer(np.packbits(flags, bitorder="little"))
    validity = e_tags.is_valid().buffers()[1] if e_tags.null_count else None
    return pa.BooleanArray.from_buffers(pa.bool_(), len(e_tags), [validity, bits])
