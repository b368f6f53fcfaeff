"""Likely duplicates: current objects with the same ETag and size, found exactly.

Only ETags of 32 hexadecimal digits count, which are those of whole files; they are MD5s of the
content unless it is encrypted with a key of KMS, where equal content has different ones
(https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html). Empty objects do not count.

Memory is bounded: ETags, sizes and row numbers are first distributed over files by a hash, so that
equal ones are in the same file; then each file is sorted; then the redundant rows, one bit each,
select records from a second pass over the parts.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.hygiene.findings import Tally
from inventory_assets.inventory.hygiene.findings_builder import TallyBuilder
from inventory_assets.inventory.hygiene.part_findings import row_groups
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.schema import VERSION_COLUMNS, are_current, has_versions
from inventory_assets.inventory.storage.store import Store

_FILE_ROWS = 2**20
"""About as many rows are in each of the files."""

_MAX_FILES = 256
_BUFFER_BYTES = 2**16

_DIGITS = 32
_ROW = np.dtype([("high", "<u8"), ("low", "<u8"), ("size", "<i8"), ("row", "<i8")])
_CONTENT = ["high", "low", "size"]
_MIX = np.uint64(0x9E3779B97F4A7C15)

_Rows = npt.NDArray[np.void]

_NIBBLES = np.full(256, 255, np.uint8)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _NIBBLES[np.frombuffer(_digits, np.uint8)] = np.arange(16)


def find_duplicates(store: Store, parts: Sequence[Part], folder: Path) -> Tally:
    """Count the objects whose content another object with a smaller key has already.

    Args:
        store: The store of the parts.
        parts: The parts, in key order.
        folder: For temporary files: 32 bytes for each object.

    Returns:
        The redundant objects: removing them would save their bytes.

    Raises:
        CorruptRecord: A part is missing or damaged.
        OSError: A temporary file cannot be written.
    """
    rows = sum(part.rows for part in parts)
    if not rows:
        return Tally((), (), ())
    files = [folder / f"{number}.rows" for number in range(-(-rows // _FILE_ROWS))][:_MAX_FILES]
    _distribute(store, parts, files)
    redundant = np.memmap(folder / "redundant", np.uint8, "w+", shape=-(-rows // 8))
    for file in files:
        found = _redundant_rows(np.fromfile(file, _ROW))
        np.bitwise_or.at(redundant, found >> 3, np.uint8(1) << (found & 7).astype(np.uint8))
        file.unlink()
    return _tally(store, parts, redundant)


def _distribute(store: Store, parts: Sequence[Part], files: Sequence[Path]) -> None:
    """Write the content and number of each row to one of the files."""
    columns = ["key", "size", "e_tag", *VERSION_COLUMNS[1:]]
    start = 0
    with ExitStack() as stack:
        opened = [stack.enter_context(file.open("wb", _BUFFER_BYTES)) for file in files]
        for part in parts:
            for batch in row_groups(store, part, columns):
                _write(_contents(batch, start), opened)
                start += batch.num_rows


def _contents(batch: pa.RecordBatch, start: int) -> _Rows:
    """The rows that count; `start` is the number of the first row of the batch."""
    e_tags, sizes = batch.column("e_tag"), batch.column("size")
    counts = pc.and_(pc.equal(pc.binary_length(e_tags), _DIGITS), pc.greater(sizes, 0))
    if has_versions(batch.schema):
        counts = pc.and_(counts, are_current(batch))
    numbers = np.flatnonzero(counts.fill_null(False).to_numpy(zero_copy_only=False))
    chosen = e_tags.take(pa.array(numbers))
    data = chosen.buffers()[2]
    if not len(numbers):
        return np.empty(0, _ROW)
    digits = _NIBBLES[np.frombuffer(data, np.uint8)[: _DIGITS * len(numbers)]]
    digits = digits.reshape(-1, _DIGITS)
    are_hexadecimal = (digits < 16).all(axis=1)
    digits, numbers = digits[are_hexadecimal], numbers[are_hexadecimal]
    words = ((digits[:, ::2] << 4) | digits[:, 1::2]).copy().view("<u8")
    rows = np.empty(len(numbers), _ROW)
    rows["high"], rows["low"] = words[:, 0], words[:, 1]
    rows["size"] = sizes.take(pa.array(numbers)).to_numpy()
    rows["row"] = numbers + start
    return rows


def _write(rows: _Rows, files: Sequence[IO[bytes]]) -> None:
    """Append rows to the files that their content determines."""
    places = (_mixed(rows) >> np.uint64(32)) % np.uint64(len(files))
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(len(files) + 1)).tolist()
    ordered = rows[order]
    for number, file in enumerate(files):
        file.write(ordered[bounds[number] : bounds[number + 1]].tobytes())


def _redundant_rows(rows: _Rows) -> npt.NDArray[np.int64]:
    """The numbers of the rows whose content a row with a smaller number has."""
    mixed = np.sort(_mixed(rows))
    repeated = np.unique(mixed[1:][mixed[1:] == mixed[:-1]])
    # Rows are compared in full only where another one has the same hash.
    alike = rows[np.isin(_mixed(rows), repeated)]
    alike = alike[np.lexsort([alike[name] for name in ("row", *_CONTENT)])]
    is_later = np.ones(max(len(alike) - 1, 0), np.bool_)
    for name in _CONTENT:
        is_later &= alike[name][1:] == alike[name][:-1]
    found: npt.NDArray[np.int64] = alike["row"][1:][is_later]
    return found


def _mixed(rows: _Rows) -> npt.NDArray[np.uint64]:
    """A hash of the content of each row."""
    mixed: npt.NDArray[np.uint64] = rows["high"] ^ rows["low"] ^ rows["size"].view(np.uint64)
    return mixed * _MIX


def _tally(store: Store, parts: Sequence[Part], redundant: npt.NDArray[np.uint8]) -> Tally:
    """Count the redundant objects, reading only the parts that have some."""
    builder = TallyBuilder()
    start = 0
    for part in parts:
        if redundant[start >> 3 : (start + part.rows + 7) >> 3].any():
            at = start
            for batch in row_groups(store, part, ["key", "size", "storage_class"]):
                stop = at + batch.num_rows
                bits = np.unpackbits(redundant[at >> 3 : (stop + 7) >> 3], bitorder="little")
                flags = bits[at & 7 : (at & 7) + batch.num_rows].astype(np.bool_)
                found = batch.filter(pa.array(flags))
                if found.num_rows:
                    sizes = found.column("size").to_numpy()
                    builder.add(found.column("key"), sizes, found.column("storage_class"))
                at = stop
            builder.prune(parts[0].first_key, part.last_key)
        start += part.rows
    return builder.finish(parts[0].first_key, parts[-1].last_key)
