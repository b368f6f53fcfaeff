"""A hash of a shard's records that is independent of batches, ranges and parts.

Content-defined chunking splits the records: a record ends a chunk if a few bits of a weak hash of
its fields are zero. Each chunk is hashed column by column, and the fingerprint is the hash of the
chunk hashes in order. Two adjacent ranges meet within a chunk; joining their fingerprints first
joins the two halves of that chunk, so the result does not depend on the boundary.

The weak hash only determines chunk boundaries. If keys are crafted so that no chunk ends, chunks
end at `MAX_CHUNK_RECORDS`. The fingerprint then depends on the ranges: equal shards may look
changed, but changed shards never look equal.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CHUNK_RECORDS = 1024
"""Average records per chunk; a power of two."""

MAX_CHUNK_RECORDS = 64 * CHUNK_RECORDS

_DIGEST_BYTES = 16
_NULL_LENGTH = -1
_MULTIPLIERS = tuple(np.uint64(odd) for odd in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F))
"""Odd multipliers that mix bits: 2^64 / golden ratio, and a prime of xxHash."""

_MASKS = np.array([(1 << 8 * width) - 1 for width in range(9)], np.uint64)

_Words = npt.NDArray[np.uint64]


@dataclass(slots=True)
class _RecordBytes:
    """Consecutive records as the bytes to hash.

    Attributes:
        rows: The number of records.
        pieces: For each slice of a batch, the shape and the values of each column in turn.
    """

    rows: int = 0
    pieces: list[tuple[bytes, ...]] = field(default_factory=list)

    def extend(self, other: "_RecordBytes") -> None:
        self.rows += other.rows
        self.pieces += other.pieces

    def digest(self) -> bytes:
        hashed = blake2b(self.rows.to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
        for stream in zip(*self.pieces, strict=True):
            for piece in stream:
                hashed.update(piece)
        return hashed.digest()


@dataclass(frozen=True, slots=True)
class FingerprintState:
    """A fingerprint that can be joined to others, as text for a JSON document.

    The bytes are in base64. See `Fingerprint` and `_RecordBytes` for the fields.
    """

    rows: int
    head_rows: int
    head: tuple[tuple[str, ...], ...]
    has_end: bool
    digests: str
    tail_rows: int
    tail: tuple[tuple[str, ...], ...]


class Fingerprint:
    """An incremental hash of records; equal records in equal order have equal digests.

    Attributes:
        rows: The number of records hashed.
        head: The records up to the first end of a chunk, which may begin in the range before.
        has_end: Whether any chunk has ended.
        digests: The concatenated hashes of the chunks between head and tail.
        tail: The records after the last end of a chunk.
    """

    def __init__(self) -> None:
        self.rows = 0
        self.head = _RecordBytes()
        self.has_end = False
        self.digests = bytearray()
        self.tail = _RecordBytes()

    def update(self, records: pa.RecordBatch) -> None:
        """Add a batch of records; all batches have the same schema."""
        self.rows += records.num_rows
        columns = [_bytes_of(column) for column in records.columns]
        start = 0
        for stop in _chunk_ends(records):
            self._append(_bytes_of_rows(columns, start, stop), ends=True)
            start = stop
        if start < records.num_rows:
            self._append(_bytes_of_rows(columns, start, records.num_rows), ends=False)

    def join(self, other: "Fingerprint") -> None:
        """Append the records of `other`, which follow these."""
        self.rows += other.rows
        self._append(other.head, ends=other.has_end)
        if other.has_end:
            self.digests += other.digests
            # A copy, as `other` may be joined to several fingerprints.
            self.tail = _RecordBytes(other.tail.rows, [*other.tail.pieces])

    def hexdigest(self) -> str:
        """The digest of all records: 32 hexadecimal digits."""
        whole = blake2b(self.rows.to_bytes(8, "little"), digest_size=_DIGEST_BYTES)
        whole.update(self.head.digest())
        whole.update(self.digests)
        whole.update(self.tail.digest())
        return whole.hexdigest()

    @property
    def state(self) -> FingerprintState:
        """The fingerprint as text."""
        return FingerprintState(
            self.rows,
            self.head.rows,
            _encoded(self.head),
            self.has_end,
            b64encode(self.digests).decode(),
            self.tail.rows,
            _encoded(self.tail),
        )

    @classmethod
    def of_state(cls, state: FingerprintState) -> "Fingerprint":
        """The fingerprint from its text.

        Raises:
            ValueError: The text is no base64.
        """
        found = cls()
        found.rows, found.has_end = state.rows, state.has_end
        found.head = _decoded(state.head_rows, state.head)
        found.digests = bytearray(b64decode(state.digests, validate=True))
        found.tail = _decoded(state.tail_rows, state.tail)
        return found

    def _append(self, records: _RecordBytes, *, ends: bool) -> None:
        chunk = self.tail if self.has_end else self.head
        chunk.extend(records)
        ends = ends or chunk.rows >= MAX_CHUNK_RECORDS
        if not self.has_end:
            self.has_end = ends
        elif ends:
            self.digests += self.tail.digest()
            self.tail = _RecordBytes()


def _encoded(records: _RecordBytes) -> tuple[tuple[str, ...], ...]:
    """One piece: the hash does not depend on how the bytes of a column are divided."""
    streams = zip(*records.pieces, strict=True)
    columns = tuple(b64encode(b"".join(stream)).decode() for stream in streams)
    return (columns,) if columns else ()


def _decoded(rows: int, pieces: Iterable[Iterable[str]]) -> _RecordBytes:
    return _RecordBytes(
        rows, [tuple(b64decode(text, validate=True) for text in piece) for piece in pieces]
    )


def joined(fingerprints: Iterable[tuple[str, Fingerprint]]) -> Fingerprint:
    """Join the fingerprints of disjoint ranges, each with its first key, in any order."""
    whole = Fingerprint()
    for _, fingerprint in sorted(fingerprints, key=lambda pair: pair[0]):
        whole.join(fingerprint)
    return whole


@dataclass(frozen=True, slots=True)
class _ColumnBytes:
    """The bytes of a column.

    Attributes:
        shape: For each row, the length of a text, -1 for null; otherwise whether it is not null.
        shape_width: Bytes of `shape` for each row.
        values: The concatenated values.
        bounds: The offsets of the rows in `values`, one more than rows; or the bytes of each row.
    """

    shape: memoryview
    shape_width: int
    values: memoryview
    bounds: npt.NDArray[np.int64] | int

    def slice(self, start: int, stop: int) -> tuple[bytes, bytes]:
        """Copies, so that a few rows do not keep a long batch in memory."""
        shape = bytes(self.shape[start * self.shape_width : stop * self.shape_width])
        if isinstance(self.bounds, int):
            return shape, bytes(self.values[start * self.bounds : stop * self.bounds])
        return shape, bytes(self.values[self.bounds[start] : self.bounds[stop]])


def _bytes_of(column: pa.Array) -> _ColumnBytes:
    if pa.types.is_string(column.type):
        lengths = pc.fill_null(pc.binary_length(column), _NULL_LENGTH)
        shape = lengths.to_numpy(zero_copy_only=False).astype("<i4")
        text, bounds = _text(pc.fill_null(column, ""))
        return _ColumnBytes(memoryview(shape.tobytes()), 4, text, bounds)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    if column.type == pa.bool_():
        values = pc.fill_null(column, False).to_numpy(zero_copy_only=False).astype("<i1")
    else:
        numbers = pc.fill_null(column.cast(pa.int64()), 0)
        values = numbers.to_numpy(zero_copy_only=False).astype("<i8")
    return _ColumnBytes(
        memoryview(valid.tobytes()), 1, memoryview(values.tobytes()), values.itemsize
    )


def _text(column: pa.StringArray) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """The concatenated bytes of an array without nulls, and the bounds of its values in them."""
    _validity, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4).astype(np.int64)
    text = memoryview(data if data is not None else b"")
    return text[bounds[0] : bounds[-1]], bounds - bounds[0]


def _bytes_of_rows(columns: list[_ColumnBytes], start: int, stop: int) -> _RecordBytes:
    piece = tuple(part for column in columns for part in column.slice(start, stop))
    return _RecordBytes(stop - start, [piece])


def _chunk_ends(records: pa.RecordBatch) -> Iterator[int]:
    """The number of rows up to each end of a chunk; each end depends only on its own row."""
    if not records.num_rows:
        return
    keys, bounds = _text(records.column("key"))
    lengths = np.diff(bounds)
    mix = _words(keys, bounds[1:] - np.minimum(lengths, 8), lengths)
    e_tags, bounds = _text(pc.fill_null(records.column("e_tag"), ""))
    mix = _spread(mix) ^ _words(e_tags, bounds[:-1], np.diff(bounds))
    for name in ("size", "last_modified_date"):
        numbers = pc.fill_null(records.column(name).cast(pa.int64()), 0)
        mix = _spread(mix) ^ numbers.to_numpy(zero_copy_only=False).view(np.uint64)
    mix = _spread(mix)
    ends = np.flatnonzero(mix % np.uint64(CHUNK_RECORDS) == 0)
    yield from (ends + 1).tolist()


def _words(text: memoryview, at: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> _Words:
    """Up to eight bytes of each value from `at` on, as a number."""
    padded = bytes(text) + b"\0" * 8
    words = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, strides=(1,))[at]
    masked: _Words = words & _MASKS[np.minimum(lengths, 8)]
    return masked


def _spread(words: _Words) -> _Words:
    """Mix the bits of each number."""
    words = words * _MULTIPLIERS[0]
    words ^= words >> np.uint64(29)
    words *= _MULTIPLIERS[1]
    words ^= words >> np.uint64(32)
    return words
