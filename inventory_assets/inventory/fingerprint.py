"""A hash of a shard's records, whatever batches, ranges or parts they came in.

Each column is one stream of bytes: of strings the concatenated UTF-8 and the lengths, of numbers
the little-endian values; so the cuts between batches leave no trace.
"""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.records import RECORD_SCHEMA

_DIGEST_BYTES = 16
_NULL_LENGTH = -1


class Fingerprint:
    """Hashes records as they pass by; equal records in equal order give equal digests."""

    def __init__(self) -> None:
        self._rows = 0
        self._streams = [
            (blake2b(digest_size=_DIGEST_BYTES), blake2b(digest_size=_DIGEST_BYTES))
            for _ in RECORD_SCHEMA
        ]

    def update(self, records: pa.RecordBatch) -> None:
        """Take in a batch with `RECORD_SCHEMA`."""
        self._rows += records.num_rows
        for column, (values, shape) in zip(records.columns, self._streams, strict=True):
            if pa.types.is_string(column.type):
                lengths = pc.fill_null(pc.binary_length(column), _NULL_LENGTH)
                shape.update(lengths.to_numpy(zero_copy_only=False).astype("<i4").tobytes())
                values.update(_text(pc.fill_null(column, "")))
            else:
                shape.update(column.is_valid().to_numpy(zero_copy_only=False).tobytes())
                numbers = column.cast(pa.int64()) if column.type != pa.bool_() else column
                filled = pc.fill_null(numbers, False if column.type == pa.bool_() else 0)
                values.update(filled.to_numpy(zero_copy_only=False).astype("<i8").tobytes())

    def hexdigest(self) -> str:
        """The digest of all records so far: 32 hexadecimal digits."""
        whole = blake2b(self._rows.to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
        for pair in self._streams:
            for stream in pair:
                whole.update(stream.digest())
        return whole.hexdigest()


def _text(column: pa.StringArray) -> memoryview:
    """The concatenated bytes of an array without nulls."""
    _validity, offsets, data = column.buffers()
    if data is None:
        return memoryview(b"")
    bounds = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
    return memoryview(data)[bounds[0] : bounds[-1]]
