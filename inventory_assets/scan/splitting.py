"""Where to split a range of keys that is still to be listed.

Two sources of split points: the folders of a level, where keys have them, and otherwise the middle
between two keys, counted in the characters that keys were seen to use, so that hexadecimal names
are halved between 7 and 8 and not between 'O' and 'P'.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile

from inventory_assets.s3 import BucketLister, PageRequest, Tally
from inventory_assets.scan.directories import DELIMITER
from inventory_assets.scan.ranges import MAX_KEY_BYTES, KeyRange, ceiling

_DIGITS = 48
"""Characters beyond the common start that are looked at; more than any split needs."""

_FALLBACK = "0123456789abcdefghijklmnopqrstuvwxyz"

_LEVELS = 8
"""Levels of a single folder each that are descended for one split."""

_SAMPLE = 64
"""Keys that are remembered for the characters they use."""


class Splitter:
    """Knows the shape of a key space as far as it was seen.

    Args:
        lister: The bucket.
    """

    def __init__(self, lister: BucketLister) -> None:
        self._lister = lister
        self._sample: deque[str] = deque(maxlen=_SAMPLE)
        self._flat: set[str] = set()
        """Levels without folders, or with too many to list them."""

    def saw(self, key: str) -> None:
        """Remember a key."""
        self._sample.append(key)

    async def places(
        self, prefix: str, after: str, until: str, wanted: int, tally: Tally
    ) -> list[str]:
        """Keys at which to split what lies between two bounds; at most `wanted`, ascending.

        It costs a request where the level may have folders, and one more for each level that has
        but one.

        Raises:
            S3Error: A request failed for good.
        """
        level = level_of(after, until, prefix)
        for _ in range(_LEVELS):
            if level in self._flat:
                break
            page = await self._lister.fetch(
                PageRequest(level, start_after=after, delimiter=DELIMITER), tally
            )
            ahead = [name for name in page.common_prefixes if after < ceiling(name)]
            if page.is_truncated or not ahead:
                self._flat.add(level)
                break
            folders = [name for name in ahead if name < until]
            if not folders:
                break
            if len(folders) > 1:
                return evenly([ceiling(name) for name in folders[:-1]], wanted)
            level = folders[0]
        upper = min(until, ceiling(level))
        if not after < upper:
            return []
        alphabet = characters(list(self._sample), _common_start(after, upper))
        place = middle(after, upper, alphabet)
        return [place] if place else []


async def cut_evenly(lister: BucketLister, prefix: str, count: int, tally: Tally) -> list[KeyRange]:
    """Cut the keys under a prefix into at most `count` ranges, about even as far as anyone can see.

    Raises:
        S3Error: A request failed for good.
    """
    splitter = Splitter(lister)
    page = await lister.fetch(PageRequest(prefix), tally)
    keys = page.objects.column("key").to_pylist()
    for key in keys:
        splitter.saw(key)
    whole = KeyRange.of_prefix(prefix)
    bounds = [whole.after, whole.until]
    while keys and len(bounds) <= count:
        cuts: list[str] = []
        for after, until in pairwise(bounds):
            wanted = (count + 1 - len(bounds) - len(cuts)) // (len(bounds) - 1) or 1
            if len(bounds) + len(cuts) <= count:
                begun = max(after, keys[0])
                cuts += await splitter.places(prefix, begun, until, wanted, tally)
        if not cuts:
            break
        bounds = sorted({*bounds, *cuts})
    return [KeyRange(after, until) for after, until in pairwise(bounds)]


def level_of(after: str, until: str, prefix: str) -> str:
    """The deepest folder that holds both bounds, at least `prefix`."""
    common = _common_start(after, until)
    level = common[: common.rfind(DELIMITER) + 1]
    return level if level.startswith(prefix) else prefix


def characters(keys: Iterable[str], start: str) -> str:
    """The safe characters that keys use after `start`, in order; common ones where none is known.

    Left out is what makes trouble in a request or an XML document: control characters, `%`,
    surrogates, noncharacters, and what cannot be printed.
    """
    seen = {letter for key in keys if key.startswith(start) for letter in key[len(start) :]}
    safe = sorted(letter for letter in seen if letter.isprintable() and letter != "%")
    return "".join(safe) if len(safe) > 1 else _FALLBACK


def middle(after: str, until: str, alphabet: str) -> str | None:
    """A key strictly between two bounds, about halfway in strings over `alphabet`.

    Args:
        after: The lower bound.
        until: The upper bound, greater than `after`.
        alphabet: At least two characters, ascending.

    Returns:
        A key of at most 1,024 bytes whose characters beyond the bounds' common start are of the
        alphabet; None where there is none.
    """
    start = _common_start(after, until)
    low = _number(after[len(start) :], alphabet)
    high = _number(until[len(start) :], alphabet)
    digits = _text((low + high) // 2, alphabet)
    enough = low + (high - low) * 7 // 16  # a short key that is about halfway will do
    found = None
    for length in range(1, len(digits) + 1):
        key = start + digits[:length]
        if len(key.encode()) > MAX_KEY_BYTES:
            break
        if after < key < until:
            found = key
            if _number(digits[:length], alphabet) >= enough:
                break
    return found


def evenly(places: Sequence[str], count: int) -> list[str]:
    """At most `count` of some places, so that they cut what lies between them evenly."""
    count = min(count, len(places))
    step = (len(places) + 1) / (count + 1)
    return [places[round(step * (number + 1)) - 1] for number in range(count)]


def _common_start(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in same)]


def _number(text: str, alphabet: str) -> int:
    """The text as digits behind the point, times the base to `_DIGITS`."""
    base, number = len(alphabet), 0
    for place in range(_DIGITS):
        digit = bisect_left(alphabet, text[place]) if place < len(text) else 0
        number = number * base + digit
        if place < len(text) and text[place] != alphabet[digit : digit + 1]:
            # Not of the alphabet: as the next letter that is, and nothing after it counts.
            return int(number * base ** (_DIGITS - place - 1))
    return number


def _text(number: int, alphabet: str) -> str:
    base = len(alphabet)
    number = min(number, base**_DIGITS - 1)
    letters = []
    for _ in range(_DIGITS):
        number, digit = divmod(number, base)
        letters.append(alphabet[digit])
    return "".join(reversed(letters))
