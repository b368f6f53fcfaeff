"""Ranges of keys in UTF-8 byte order, as values.

A range is `(after, until]`, as in StartAfter of ListObjectsV2. A boundary key belongs to the left
range, so adjacent ranges share a bound and do not overlap. Python compares strings by code point,
which is the byte order of their UTF-8 encodings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

MAX_KEY_BYTES = 1024
"""S3's maximum length of a key, in bytes of UTF-8."""

LEAST_CHARACTER = "\t"
"""The least character that XML and all stores accept; only control characters are less."""

_LARGEST_BY_WIDTH = ("", "\x7f", "\u07ff", "\uffff", "\U0010ffff")
"""The largest character whose UTF-8 encoding has 0, 1, 2, 3, 4 bytes."""

_SAFE_LARGE_CHARACTER = "\U0010fffd"
"""The largest character that is no noncharacter, which all XML implementations accept."""


@lru_cache(maxsize=1024)
def prefix_upper_bound(prefix: str) -> str:
    """The largest legal key that starts with `prefix`."""
    fours, rest = divmod(MAX_KEY_BYTES - len(prefix.encode()), 4)
    return prefix + _LARGEST_BY_WIDTH[4] * fours + _LARGEST_BY_WIDTH[rest]


def prefix_lower_bound(prefix: str) -> str:
    """The largest legal key less than all keys that start with `prefix`; "" if there is none."""
    if not prefix or prefix[-1] == "\0":
        return prefix[:-1]
    before = ord(prefix[-1]) - 1
    if 0xD800 <= before <= 0xDFFF:  # surrogates have no UTF-8 encoding
        before = 0xD7FF
    return prefix_upper_bound(prefix[:-1] + chr(before))


def prefix_of_upper_bound(key: str) -> str | None:
    """The shortest prefix whose `prefix_upper_bound` is `key`, or None."""
    filler = key[:-1] if key.endswith(_LARGEST_BY_WIDTH[1:4]) else key
    prefix = filler.rstrip(_LARGEST_BY_WIDTH[4])
    return prefix if prefix != key and prefix_upper_bound(prefix) == key else None


@dataclass(frozen=True, slots=True, order=True)
class KeyRange:
    """All keys `k` with `after < k <= until`.

    Attributes:
        after: The lower bound, exclusive; "" for none, as no key is empty.
        until: The upper bound, inclusive.
    """

    after: str
    until: str

    @classmethod
    def of_prefix(cls, prefix: str) -> "KeyRange":
        """Exactly the legal keys that start with `prefix`; all keys for ""."""
        return cls(prefix_lower_bound(prefix), prefix_upper_bound(prefix))

    def __contains__(self, key: str) -> bool:
        return self.after < key <= self.until

    @property
    def start_after(self) -> str:
        """A StartAfter that all stores accept: `after`, or a shorter key before it."""
        prefix = prefix_of_upper_bound(self.after)
        if prefix is None:
            return self.after
        short = prefix + _SAFE_LARGE_CHARACTER
        return short if len(short.encode()) <= MAX_KEY_BYTES else prefix

    def intersection(self, other: "KeyRange") -> "KeyRange | None":
        """The keys in both ranges; None if there are none."""
        after, until = max(self.after, other.after), min(self.until, other.until)
        return KeyRange(after, until) if after < until else None

    def minus(self, prefixes: Iterable[str]) -> tuple["KeyRange", ...]:
        """The rest of this range, in order, without the keys that start with a prefix."""
        return self.difference(KeyRange.of_prefix(prefix) for prefix in sorted(prefixes))

    def difference(self, ranges: Iterable["KeyRange"]) -> tuple["KeyRange", ...]:
        """The rest of this range, in order, without other ranges, which are in key order."""
        remaining: list[KeyRange] = []
        after = self.after
        for excluded in ranges:
            if excluded.until <= after or excluded.after >= self.until:
                continue
            if after < excluded.after:
                remaining.append(KeyRange(after, excluded.after))
            after = excluded.until
        if after < self.until:
            remaining.append(KeyRange(after, self.until))
        return tuple(remaining)


def tiling_violation(ranges: Sequence[KeyRange], whole: Sequence[KeyRange]) -> str | None:
    """Describe how `ranges` fail to tile `whole`; None if they tile it.

    Both are in key order; neighbours in `whole` are not adjacent.
    """
    for left, right in pairwise(ranges):
        if right.after < left.until:
            return f"two ranges overlap between {right.after!r} and {left.until!r}"
    for key_range in ranges:
        if key_range.after >= key_range.until:
            return f"a range is empty: {key_range}"
    coalesced = coalesce(ranges)
    for found, expected in zip(coalesced, whole, strict=False):
        if found != expected:
            return f"expected {expected}, found {found}"
    if len(coalesced) != len(whole):
        return f"expected {len(whole)} ranges after joining adjacent ones, found {len(coalesced)}"
    return None


def coalesce(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    """Join adjacent ranges, which are in key order."""
    found: list[KeyRange] = []
    for key_range in ranges:
        if found and key_range.after == found[-1].until:
            found[-1] = KeyRange(found[-1].after, key_range.until)
        else:
            found.append(key_range)
    return found


def outermost(prefixes: Iterable[str]) -> tuple[str, ...]:
    """The prefixes that do not start with another one of them, in order."""
    found: list[str] = []
    for prefix in sorted(set(prefixes)):
        if not found or not prefix.startswith(found[-1]):
            found.append(prefix)
    return tuple(found)


DELIMITER = "/"
