"""Objects and bytes by prefix, of records in key order, in bounded memory.

Counts of neighbouring pieces (batches, parts) are added. After each step only some prefixes stay:
the `KEPT` with most objects, the `KEPT` with most bytes, and those that the piece's first or last
key begins with. Sums are nevertheless exact for each prefix that is among the `KEPT` of the whole:
such a prefix either lies within one piece, where no more prefixes exceed it than in the whole, or
spans several, and then begins the last key of one and the first of the next.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

KEPT = 100
"""Prefixes that are kept for each of the two orders, by objects and by bytes."""

WORST = 10
"""Prefixes that are shown of a finding."""

_UNPRUNED = 50 * KEPT
_EXPANDED_SHARE = 0.8
_SLASH = ord("/")

Order = Callable[["PrefixShare"], int]


@dataclass(frozen=True, slots=True)
class PrefixShare:
    """What a prefix holds.

    Attributes:
        prefix: The prefix; "" for all keys, others end in "/".
        objects: Objects that are counted.
        bytes: Their bytes; None if they are not known.
    """

    prefix: str
    objects: int
    bytes: int | None


class PrefixCounts:
    """Objects and bytes by prefix, of a piece of sorted records.

    Args:
        is_cumulative: Whether a prefix counts all that is beneath it, and not only the keys
            directly in it.
        shares: The counts to begin with.
    """

    def __init__(self, *, is_cumulative: bool, shares: Iterable[PrefixShare] = ()) -> None:
        self._is_cumulative = is_cumulative
        self._counts: dict[str, tuple[int, int]] = {
            share.prefix: (share.objects, share.bytes or 0) for share in shares
        }

    def add(self, keys: pa.StringArray, sizes: npt.NDArray[np.int64]) -> None:
        """Count objects.

        Args:
            keys: Their keys, in order.
            sizes: Their bytes.
        """
        for folder, objects, size in folder_runs(keys, sizes):
            prefix = folder
            self._add(prefix, objects, size)
            while self._is_cumulative and prefix:
                prefix = parent_of(prefix)
                self._add(prefix, objects, size)

    def merge(self, shares: Iterable[PrefixShare]) -> None:
        """Add the counts of the neighbouring piece to the right."""
        for share in shares:
            self._add(share.prefix, share.objects, share.bytes or 0)

    def _add(self, prefix: str, objects: int, size: int) -> None:
        before = self._counts.get(prefix, (0, 0))
        self._counts[prefix] = before[0] + objects, before[1] + size

    def prune(self, first_key: str, last_key: str, *, at_most: int = _UNPRUNED) -> None:
        """Drop prefixes that cannot be among the `KEPT` of the whole.

        Args:
            first_key: The first key of the piece so far.
            last_key: The last key of it.
            at_most: Nothing is dropped while there are no more prefixes.
        """
        if len(self._counts) > at_most:
            kept = {share.prefix for share in self.top()}
            kept |= {*prefixes_of(first_key), *prefixes_of(last_key)} & self._counts.keys()
            self._counts = {prefix: self._counts[prefix] for prefix in kept}

    def shares(self) -> tuple[PrefixShare, ...]:
        """All counts, by prefix."""
        return tuple(PrefixShare(prefix, *found) for prefix, found in sorted(self._counts.items()))

    def top(self) -> tuple[PrefixShare, ...]:
        """The prefixes with most objects and those with most bytes, by prefix."""
        every = self.shares()
        # Equal ones in the order of their prefixes, so that every cut gives the same.
        found = {
            *heapq.nsmallest(KEPT, every, key=lambda share: (-share.objects, share.prefix)),
            *heapq.nsmallest(KEPT, every, key=lambda share: (-(share.bytes or 0), share.prefix)),
        }
        return tuple(sorted(found, key=lambda share: share.prefix))


def worst_prefixes(shares: Iterable[PrefixShare], order: Order) -> tuple[PrefixShare, ...]:
    """The prefixes that say where the objects are: at most `WORST`, none within another.

    The whole is replaced by the prefixes directly in it, then the largest of these, and so on,
    while there are fewer than `WORST`, or one holds more than half. A prefix stays if the known
    ones in it hold less than four fifths of it: the rest is then directly in it, or widely spread.

    Args:
        shares: Cumulative counts, with that of "".
        order: What the worst have most of.
    """
    known = {share.prefix: share for share in shares}
    inside: dict[str, list[PrefixShare]] = defaultdict(list)
    for prefix, share in known.items():
        if prefix:
            inside[parent_of(prefix)].append(share)
    found: list[PrefixShare] = []
    waiting = [known[""]] if "" in known else []
    total = sum(map(order, waiting))
    while waiting:
        waiting.sort(key=lambda share: (order(share), share.prefix))
        largest = waiting.pop()
        is_enough = len(found) + len(waiting) + 1 >= WORST and 2 * order(largest) <= total
        children = inside[largest.prefix]
        if is_enough or sum(map(order, children)) < max(1, _EXPANDED_SHARE * order(largest)):
            found.append(largest)
        else:
            waiting += children
    return tuple(sorted(found, key=lambda share: (-order(share), share.prefix))[:WORST])


def parent_of(prefix: str) -> str:
    """The prefix that directly contains another, which is not ""."""
    return prefix[: prefix.rfind("/", 0, -1) + 1]


def prefixes_of(key: str) -> Iterator[str]:
    """The prefixes of a key, from "" on, that end at a slash."""
    end = 0
    while True:
        yield key[:end]
        end = key.find("/", end) + 1
        if not end:
            return


def folder_runs(
    keys: pa.StringArray, sizes: npt.NDArray[np.int64]
) -> Iterator[tuple[str, int, int]]:
    """The folder, the number and the bytes of each run of keys that are directly in one folder."""
    if not len(keys):
        return
    codes = _folders(keys).dictionary_encode()
    numbers = codes.indices.to_numpy()
    starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
    names = codes.dictionary.to_pylist()
    counts = np.diff(np.append(starts, len(numbers))).tolist()
    sums = np.add.reduceat(sizes, starts).tolist()
    for number, count, size in zip(numbers[starts].tolist(), counts, sums, strict=True):
        yield names[number], count, size


def _folders(keys: pa.StringArray) -> pa.StringArray:
    """The part of each key through its last slash, "" without one."""
    _validity, offset_buffer, data = keys.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(keys) + 1, 4 * keys.offset)
    starts = offsets[:-1].astype(np.int64) - offsets[0]
    text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data else _NOTHING
    slashes = np.append(-1, np.flatnonzero(text == _SLASH))
    last = slashes[np.searchsorted(slashes, starts + np.diff(offsets), "left") - 1]
    ends = np.maximum(last + 1, starts)
    # Select the bytes [start, end) of each key; an end may be the start of a later one.
    edges = np.zeros(len(text) + 1, np.int8)
    edges[starts] += 1
    np.subtract.at(edges, ends, np.int8(1))
    selected = text[np.cumsum(edges[:-1], dtype=np.int8).astype(np.bool_)]
    lengths = np.concatenate(([0], np.cumsum(ends - starts))).astype(np.int32)
    return pa.StringArray.from_buffers(
        len(keys), pa.py_buffer(lengths), pa.py_buffer(selected.tobytes())
    )


_NOTHING = np.empty(0, np.uint8)
