"""The two tables of usage: the aggregate, and one row for each prefix.

Both are public. `docs/usage.md` describes their columns.
"""

from enum import StrEnum

import pyarrow as pa

MAX_DEPTH = 64
"""The deepest prefixes that have rows; deeper ones count in their ancestors. Without a limit, 1,000
keys of 1,000 slashes would have a million prefixes."""

SIZE_BANDS = (
    ("0 B", 1),
    ("1 B to 1 KiB", 2**10),
    ("1 to 16 KiB", 2**14),
    ("16 to 128 KiB", 2**17),
    ("128 KiB to 1 MiB", 2**20),
    ("1 to 16 MiB", 2**24),
    ("16 to 128 MiB", 2**27),
    ("128 MiB to 1 GiB", 2**30),
    ("1 to 16 GiB", 2**34),
    ("16 GiB and more", 2**63 - 1),
)
"""The names of the size bands, and their upper bounds in bytes, exclusive. 128 KiB is a bound, so
that objects below the smallest billed size of S3's infrequent-access classes can be counted."""

SIZE_BOUNDS = tuple(bound for _, bound in SIZE_BANDS[:-1])
"""The upper bounds in bytes, exclusive, of all size bands but the last."""


class State(StrEnum):
    """What a record is; records of a listing without versions are all current."""

    CURRENT = "current"
    DELETE_MARKER = "delete_marker"
    NONCURRENT = "noncurrent"


USAGE_SCHEMA = pa.schema(
    [
        pa.field("prefix", pa.string(), nullable=False),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("storage_class", pa.string(), nullable=False),
        pa.field("size_band", pa.int8(), nullable=False),
        pa.field("month", pa.date32()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
    ]
)
"""The schema of the aggregate.

Rows are cumulative: those of a prefix count all records beneath it. They are sorted by prefix in
byte order, then by the columns from `storage_class` to `state`; a null month is last.
"""

USAGE_DESCRIPTIONS = {
    "prefix": "The prefix: empty for the whole inventory, or ending in a slash.",
    "depth": "The number of slashes in the prefix.",
    "storage_class": "S3's storage class; UNKNOWN where the store names none, empty for delete "
    "markers.",
    "size_band": "The band of the object's size, an index: 0 is 0 bytes, 9 is 16 GiB and more.",
    "month": "The first day of the month of LastModified, UTC; null where the store names none.",
    "state": "current, noncurrent or delete_marker.",
    "objects": "The number of objects, versions or delete markers.",
    "bytes": "The sum of their sizes, in bytes.",
}

CHANGES_SINCE = ("", "_7d", "_30d")
"""The ends of the names of the columns of change: since the baseline, a week and a month before."""

PREFIX_SCHEMA = pa.schema(
    [
        pa.field("prefix", pa.string(), nullable=False),
        pa.field("depth", pa.int32(), nullable=False),
        pa.field("objects", pa.int64(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("current_objects", pa.int64(), nullable=False),
        pa.field("current_bytes", pa.int64(), nullable=False),
        pa.field("noncurrent_objects", pa.int64(), nullable=False),
        pa.field("noncurrent_bytes", pa.int64(), nullable=False),
        pa.field("delete_markers", pa.int64(), nullable=False),
        pa.field("monthly_usd", pa.float64()),
        *(
            pa.field(f"{name}_change{since}", pa.int64())
            for since in CHANGES_SINCE
            for name in ("objects", "bytes")
        ),
    ]
)
"""The schema of the table with one row for each prefix, sorted by prefix in byte order."""

PREFIX_DESCRIPTIONS = {
    "prefix": USAGE_DESCRIPTIONS["prefix"],
    "depth": USAGE_DESCRIPTIONS["depth"],
    "objects": "Objects beneath the prefix, current and noncurrent, without delete markers.",
    "bytes": "The sum of their sizes, in bytes.",
    "current_objects": "Current objects.",
    "current_bytes": "Bytes of current objects.",
    "noncurrent_objects": "Noncurrent versions.",
    "noncurrent_bytes": "Bytes of noncurrent versions.",
    "delete_markers": "Delete markers, current and noncurrent.",
    "monthly_usd": "The estimated cost of storage in USD a month; null where it is unknown.",
    "objects_change": "Objects more than in the usage table before; null where that has no row.",
    "bytes_change": "Bytes more than in the usage table before; null where that has no row.",
    "objects_change_7d": "Objects more than a week before; null where that has no row.",
    "bytes_change_7d": "Bytes more than a week before; null where that has no row.",
    "objects_change_30d": "Objects more than 30 days before; null where that has no row.",
    "bytes_change_30d": "Bytes more than 30 days before; null where that has no row.",
}
