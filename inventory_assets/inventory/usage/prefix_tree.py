"""The prefixes of a batch of sorted keys, found with NumPy.

In sorted keys, the keys with a prefix follow each other. So a prefix is a range of rows, and its
totals are differences of running sums.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inventory_assets.inventory.usage.dimensions import Ints
from inventory_assets.inventory.usage.schema import MAX_DEPTH

_SLASH = ord("/")
_NO_BYTES = np.zeros(0, np.uint8)
_WORD = 8
"""Bytes that are compared at a time."""

_BLOCK = 16
"""Keys of which the first and the last are compared before those between."""


def _bytes_of(keys: pa.StringArray) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Where each key starts in the bytes of all, with the end of the last one, and these bytes."""
    _, offsets, buffer = keys.buffers()
    starts = np.frombuffer(offsets, np.int32, len(keys) + 1, 4 * keys.offset).astype(np.int64)
    size = int(starts[-1] - starts[0])
    data = np.frombuffer(buffer, np.uint8, size, int(starts[0])) if size else _NO_BYTES
    return starts - starts[0], data


def rows_to_compare(keys: pa.StringArray) -> Ints:
    """The rows of sorted keys without those that surely have the last prefix of the row before.

    Slashes are counted in blocks of keys. What the first and the last key of a block share, all of
    its keys share. If there are no other slashes in the block, its keys have the same last prefix.

    Args:
        keys: The keys, at least one.
    """
    ends = np.append(np.arange(0, len(keys) - 1, _BLOCK), len(keys) - 1)
    starts, data = _bytes_of(keys)
    lengths = np.diff(starts)[ends]
    slashes = _Slashes.of(data)
    common = _common_lengths(data, starts[ends], lengths)
    firsts = starts[ends[:-1]]
    shared = slashes.before(firsts + common) - slashes.before(firsts)
    within = slashes.before(starts[ends[1:] + 1]) - slashes.before(firsts)
    differs = within != shared * (np.diff(ends) + 1)
    chosen = np.append(True, np.repeat(differs, np.diff(ends)))
    return np.flatnonzero(chosen)


def _common_lengths(data: npt.NDArray[np.uint8], starts: Ints, lengths: Ints) -> Ints:
    """The bytes that each of some sorted keys but the first shares with the one before.

    Args:
        data: The bytes of all keys.
        starts: Where each of the keys starts, in order.
        lengths: How many bytes of each key are compared.
    """
    most = np.minimum(lengths[1:], lengths[:-1])
    # What two keys share, all keys between them share.
    at = np.zeros(len(most), np.int64)
    if len(most) > _BLOCK:
        ends = np.append(np.arange(0, len(most), _BLOCK), len(most))
        at = np.repeat(_common_lengths(data, starts[ends], lengths[ends]), np.diff(ends))
    common = np.minimum(most, at)
    active = np.flatnonzero(most > common)
    left, right = starts[:-1], starts[1:]
    while len(active):
        at = common[active]
        differing = _words_at(data, left[active] + at) ^ _words_at(data, right[active] + at)
        equal_bytes = np.full(len(active), _WORD)
        differs = differing != 0
        lowest = differing[differs]
        lowest &= ~lowest + np.uint64(1)
        equal_bytes[differs] = np.log2(lowest.astype(np.float64)).astype(np.int64) // 8
        common[active] = np.minimum(most[active], at + equal_bytes)
        active = active[~differs & (at + _WORD < most[active])]
    return common


def _words_at(data: npt.NDArray[np.uint8], places: Ints) -> npt.NDArray[np.uint64]:
    """The `_WORD` bytes from each place on as a number; zero bytes follow the data."""
    if len(data) < _WORD:
        data = np.append(data, np.zeros(_WORD, np.uint8))
    words: npt.NDArray[np.uint64] = np.ndarray(
        (len(data) - _WORD + 1,), np.dtype("<u8"), data.data, strides=(1,)
    )
    firsts = np.minimum(places, len(words) - 1)
    found: npt.NDArray[np.uint64] = words[firsts] >> ((places - firsts) * 8).astype(np.uint64)
    return found


@dataclass(frozen=True, slots=True)
class _Slashes:
    """The places of slashes as bits, to count those before a place.

    Attributes:
        words: A bit for each byte, in words of 64; the last word is zero.
        counts: The number of slashes before each word.
    """

    words: npt.NDArray[np.uint64]
    counts: Ints

    @classmethod
    def of(cls, data: npt.NDArray[np.uint8]) -> Self:
        """Find the slashes of some bytes."""
        bits = np.packbits(data == _SLASH, bitorder="little")
        words = np.zeros(len(data) // 64 + 1, np.dtype("<u8"))
        words.view(np.uint8)[: len(bits)] = bits
        counts = np.zeros(len(words), np.int64)
        np.cumsum(np.bitwise_count(words[:-1]), out=counts[1:])
        return cls(words, counts)

    def before(self, places: Ints) -> Ints:
        """The number of slashes before each place."""
        words = places >> 6
        below = (np.uint64(1) << (places & 63).astype(np.uint64)) - np.uint64(1)
        found: Ints = self.counts[words] + np.bitwise_count(self.words[words] & below)
        return found


@dataclass(frozen=True, slots=True)
class SortedKeys:
    """Sorted keys as bytes, with the places of their slashes.

    Attributes:
        data: The bytes of all keys.
        starts: Where each key starts in `data`, and where the last one ends.
        slashes: Where the slashes are in `data`.
        first_slash: The number of slashes before each key, and of all.
        depths: The number of slashes of each key, at most `MAX_DEPTH`.
    """

    data: npt.NDArray[np.uint8]
    starts: Ints
    slashes: Ints
    first_slash: Ints
    depths: Ints

    @classmethod
    def of(cls, keys: pa.StringArray) -> Self:
        """Find the slashes of keys, at least one key."""
        starts, data = _bytes_of(keys)
        slashes = np.flatnonzero(data == _SLASH)
        first_slash = np.searchsorted(slashes, starts)
        depths = np.minimum(np.diff(first_slash), MAX_DEPTH)
        return cls(data, starts, slashes, first_slash, depths)

    def lengths(self, rows: Ints, depths: Ints) -> Ints:
        """The lengths in bytes of the prefixes of some keys with some numbers of slashes."""
        if not len(self.slashes):
            return np.zeros(len(rows), np.int64)
        # For a prefix without slashes, any slash is read, and not used.
        last = np.maximum(self.first_slash[rows] + depths - 1, 0)
        ends = self.slashes[np.minimum(last, len(self.slashes) - 1)] + 1
        return np.where(depths > 0, ends - self.starts[rows], 0)

    def common_depths(self) -> Ints:
        """For each key but the first, the number of prefixes that it shares with the one before."""
        lengths = self.lengths(np.arange(len(self.depths)), self.depths)
        compared = np.minimum(lengths[1:], lengths[:-1])
        common = _common_lengths(self.data, self.starts[:-1], lengths)
        found = np.minimum(self.depths[1:], self.depths[:-1])
        # Most keys have the same last prefix as the one before.
        others = np.flatnonzero((common < compared) | (lengths[1:] != lengths[:-1]))
        ends = self.starts[1:-1][others] + common[others]
        found[others] = np.searchsorted(self.slashes, ends) - self.first_slash[1:-1][others]
        return found

    def prefixes(self, rows: Ints, depths: Ints) -> pa.StringArray:
        """The prefixes of some keys with some numbers of slashes."""
        lengths = self.lengths(rows, depths)
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        places = np.arange(offsets[-1]) + np.repeat(self.starts[rows] - offsets[:-1], lengths)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.data[places])]
        return pa.StringArray.from_buffers(len(rows), buffers[1], buffers[2])


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """The prefixes of sorted keys, in byte order; the first one is "".

    Attributes:
        rows: The first row of each prefix.
        ends: The row after its last one.
        depths: The number of its slashes.
        parents: The number of its parent; -1 for "".
        deepest: For each row, the number of the deepest prefix of its key.
    """

    rows: Ints
    ends: Ints
    depths: Ints
    parents: Ints
    deepest: Ints

    @classmethod
    def of(cls, keys: SortedKeys) -> Self:
        """Find all prefixes."""
        # Consecutive keys with the same last prefix are a run.
        common = np.concatenate([[-1], keys.common_depths()])
        changed = (common < keys.depths) | np.concatenate([[True], common[1:] < keys.depths[:-1]])
        starts = np.flatnonzero(changed)
        common, depths = common[starts], keys.depths[starts]
        added = depths - common
        before = np.cumsum(added) - added
        run_of = np.repeat(np.arange(len(starts)), added)
        depth_of = np.arange(len(run_of)) - np.repeat(before - common - 1, added)
        total = len(keys.depths)
        bounds = np.append(starts, total)
        parents = np.full(len(run_of), -1, np.int64)
        ends = np.full(len(run_of), total, np.int64)
        deepest = np.zeros(len(starts), np.int64)
        last = np.full(len(starts), -1, np.int64)
        for depth in range(int(depths.max()) + 1):
            # The runs that begin a prefix of this depth, and those that end the one before.
            own = np.flatnonzero((common < depth) & (depths >= depth))
            ending = np.flatnonzero(common < depth)
            numbers = before[own] + depth - common[own] - 1
            if depth:
                parents[numbers] = last[own]
            following = np.searchsorted(ending, own, side="right")
            ends[numbers] = bounds[np.append(ending, len(starts))[following]]
            last = np.full(len(starts), -1, np.int64)
            last[own] = numbers
            last = np.maximum.accumulate(last)
            deepest = np.where(depths >= depth, last, deepest)
        return cls(bounds[run_of], ends, depth_of, parents, np.repeat(deepest, np.diff(bounds)))
