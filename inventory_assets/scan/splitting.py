"""Where to split a range of keys that is still to be listed.

Two sources of split points: the folders of a level, where keys have them, and otherwise the middle
between two keys, counted in the characters that keys were seen to use, so that hexadecimal names
are halved between 7 and 8 and not between 'O' and 'P'.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, takewhile
from math import inf

from inventory_assets.s3 import BucketLister, PageRequest, Tally
from inventory_assets.scan.directories import DELIMITER
from inventory_assets.scan.pieces import Piece
from inventory_assets.scan.ranges import MAX_KEY_BYTES, KeyRange, ceiling, ceiling_of
from inventory_assets.scan.walks import Walk

_DIGITS = 48
"""Characters beyond the common start that are looked at; more than any split needs."""

_FALLBACK = "0123456789abcdefghijklmnopqrstuvwxyz"

_LEVELS = 8
"""Levels of a single folder each that are descended for one split."""

_SAMPLE = 64
"""Keys that are remembered for the characters they use."""

_KNOWN_LEVELS = 32
"""Levels whose folders are remembered; each has at most a page of them."""

_MOST_PLACES = 14
"""Divided by the range's patience: places at which keys are cut at once where only their characters
say where, and each part that turns out to be empty costs a request."""

_PAGES_WORTH_FOLDERS = 16
"""Pages that a level's next thousand folders must hold; else keys are the better guide."""

_LEAST_WIDTH = 1e-15
"""Of what two keys have in common, what is too little to be told from nothing."""

_MOST_LETTERS = 256
"""Characters that are remembered of a depth."""


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
        self._folders: dict[str, tuple[str, str, list[str]]] = {}
        """Of levels with folders: those that hold keys from one on to another."""
        self._names: dict[int, _Names] = defaultdict(_Names)
        """Of each depth."""

    def saw(self, key: str) -> None:
        """Remember a key."""
        self._sample.append(key)
        self._learn(key)

    def _learn(self, key: str) -> None:
        start = 0
        for depth, name in enumerate(key.split(DELIMITER)):
            end = start + len(name)
            self._names[depth].saw(name, key[:start], is_folder=end < len(key))
            start = end + 1

    async def places(self, piece: Piece, wanted: int) -> list[str]:
        """Keys at which to split what a range has left; at most `wanted`, ascending.

        It costs a request where the level may have folders, and one more for each level that has
        but one; nothing where the walk has marks within the range.

        Raises:
            S3Error: A request failed for good.
        """
        # The cursor of a range without a page yet may lie before it.
        after, until = max(piece.cursor, piece.key_range.after), piece.key_range.until
        marks = piece.walk.marks
        marked = marks[bisect_right(marks, after) : bisect_left(marks, until)]
        if marked:
            return evenly(marked, wanted)
        level = level_of(after, until, piece.walk.prefix)
        since, _ = piece.history[0]
        for _ in range(piece.vain):
            # Little was found there; what is left may be in the folder that is being listed.
            deeper = after[: after.find(DELIMITER, len(level)) + 1]
            level = deeper if since.startswith(deeper or after) else level
        for _ in range(_LEVELS):
            folders = await self._folders_after(level, after, piece)
            if folders is None:
                break
            inside = [name for name in folders if name < until]
            if not inside:
                break
            if len(inside) > 1:
                return evenly([ceiling(name) for name in inside[:-1]], wanted)
            level = inside[0]
        upper = min(until, ceiling(level))
        if not after < upper:
            return []
        alphabet = characters(list(self._sample), _common_start(after, upper))
        return between(after, upper, alphabet, min(wanted, max(1, _MOST_PLACES // piece.patience)))

    async def _folders_after(self, level: str, after: str, piece: Piece) -> list[str] | None:
        """The folders of a level that a range still meets; None where keys are the better guide.

        All of them, or those of a page where there are more and they seem to be large. What was
        asked before is not asked again.
        """
        if level in self._flat:
            return None
        known = self._folders.get(level)
        if known is None or not known[0] <= after <= known[1]:
            request = PageRequest(level, start_after=piece.cursor, delimiter=DELIMITER)
            page = await self._lister.fetch(request, piece.walk.tally)
            names = list(page.common_prefixes)
            for name in names:
                self._learn(name)
            if not names or (page.is_truncated and not self._are_large(piece, names)):
                self._flat.add(level)
                return None
            end = names[-1] if page.is_truncated else ceiling(level)
            known = self._folders[level] = after, end, names
            if len(self._folders) > _KNOWN_LEVELS:
                del self._folders[next(iter(self._folders))]
        return [name for name in known[2] if after < ceiling(name)]

    def _are_large(self, piece: Piece, folders: Sequence[str]) -> bool:
        return _PAGES_WORTH_FOLDERS <= self.pages_left(piece, folders[-1]) < inf

    def pages_left(self, piece: Piece, until: str | None = None) -> float:
        """About how many pages a range has left, if its keys go on as densely as they did lately.

        Infinite where nobody can tell yet. Only good for comparisons: how keys fill the space
        between two names is anyone's guess.

        Args:
            piece: The range.
            until: Up to where; None for its end.
        """
        here = piece.cursor
        until = until or self._end(here, piece.key_range.until)
        if not here < until:
            return 0.0
        measures = [(since, pages) for since, pages in piece.history if since < here]
        for since, pages in measures:
            if _crosses(since, here, until):
                return pages * self._ratio(since, here, until)
        # All of it was in one folder of the level: no measure for the others.
        level = level_of(here, until, "")
        names = self._names[level.count(DELIMITER)]
        cell = here[: here.find(DELIMITER, len(level)) + 1]
        mean = names.pages / names.distance if names.are_measured else 0
        if names.are_measured and piece.history[1][1] <= 2 * mean * (self._place(ceiling(cell), len(level)) - self._place(cell, len(level))):
            return mean * (self._place(until, len(level)) - self._place(here, len(level)))
        return measures[0][1] * self._ratio(measures[0][0], here, until) if measures else inf

    def listed(self, after: str, upto: str, key_range: KeyRange) -> None:
        """Remember that a page of a range held the keys between two; `after` is of a page too."""
        until = self._end(upto, key_range.until)
        if key_range.after < after < upto < until:
            level = level_of(after, until, "")
            names = self._names[level.count(DELIMITER)]
            names.pages += 1
            names.distance += self._place(upto, len(level)) - self._place(after, len(level))
            names.are_measured |= _crosses(after, upto, until)

    def _ratio(self, since: str, here: str, until: str) -> float:
        """How far it is from `here` to `until`, by how far it was from `since`."""
        start = len(_common_start(since, until))
        begin, middle, end = (self._place(key, start) for key in (since, here, until))
        return (end - middle) / (middle - begin) if middle > begin else inf

    def _end(self, after: str, until: str) -> str:
        """About where the keys before a bound end, where that is the end of a folder.

        There names are taken to end as they do in other folders of the same depth.
        """
        level = ceiling_of(until)
        if level is None or (level and not level.endswith(DELIMITER)):
            return until
        while (known := self._folders.get(level)) and known[1] == ceiling(level):
            level = known[2][-1]
        names = takewhile(lambda each: each.is_typical, self._deeper(level.count(DELIMITER)))
        typical = level + DELIMITER.join(each.greatest for each in names)
        return next((end for end in (ceiling(typical), ceiling(level)) if after < end), until)

    def _deeper(self, depth: int) -> Iterator["_Names"]:
        while depth in self._names:
            yield self._names[depth]
            depth += 1

    def _place(self, key: str, start: int) -> float:
        """Where in [0, 1] a key stands among those with its first `start` characters.

        As if all names of a depth were as likely, of the characters seen at that depth.
        """
        place, width = 0.0, 1.0
        depth, at = key.count(DELIMITER, 0, start), start - key.rfind(DELIMITER, 0, start) - 1
        names = self._names[depth]
        for letter in key[start:]:
            digit, base = names.digit(letter, at)
            width /= base
            place += digit * width
            if width < _LEAST_WIDTH or digit == base:
                break
            at += 1
            if letter == DELIMITER:
                depth, at = depth + 1, 0
                names = self._names[depth]
        return place


class _Names:
    """What the names of one depth are made of, as far as they were seen.

    Attributes:
        greatest: The greatest of them.
        is_typical: Whether they were seen in several folders.
    """

    def __init__(self) -> None:
        self.greatest = ""
        self.is_typical = False
        self._folder: str | None = None
        self.pages, self.distance, self.are_measured = 0, 0.0, False
        self._letters = ""
        self._longest = 0
        self._ends: set[int] = set()
        """How long folders' names are."""

    def saw(self, name: str, folder: str, *, is_folder: bool) -> None:
        self._folder = self._folder or folder
        self.is_typical |= folder != self._folder
        self.greatest = max(self.greatest, name)
        self._longest = max(self._longest, len(name))
        if is_folder:
            self._ends.add(len(name))
        if len(self._letters) < _MOST_LETTERS and not set(name) <= set(self._letters):
            self._letters = "".join(sorted({*self._letters, *name}))
            self.pages, self.distance, self.are_measured = 0, 0.0, False

    def digit(self, letter: str, at: int) -> tuple[int, int]:
        """What a letter at some place of a name counts, and the base; the base for any beyond."""
        may_end = at in self._ends or letter == DELIMITER
        letters = self._letters if at < self._longest else ""
        if at == 0 and self.is_typical:
            letters = letters[: bisect_right(letters, self.greatest[:1])]
        base = max(1, len(letters) + may_end)
        if letter == DELIMITER:
            return 0, base
        return bisect_left(letters, letter) + may_end, base


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
                piece = Piece(Walk(prefix, [], tally), 0, KeyRange(max(after, keys[0]), until))
                cuts += await splitter.places(piece, wanted)
        if not cuts:
            break
        bounds = sorted({*bounds, *cuts})
    return [KeyRange(after, until) for after, until in pairwise(bounds)]


def _crosses(since: str, here: str, until: str) -> bool:
    """Whether the way to `here` leads from one folder into another of those on the way `until`."""
    return level_of(since, here, "") == level_of(since, until, "")


def level_of(after: str, until: str, prefix: str) -> str:
    """The deepest folder that holds both bounds, at least `prefix`."""
    common = _common_start(after, until)
    level = common[: common.rfind(DELIMITER) + 1]
    return level if level.startswith(prefix) else prefix


def characters(keys: Iterable[str], start: str) -> str:
    """The safe characters of names that go on after `start`, in order; common ones if unknown.

    Left out is what makes trouble in a request or an XML document: control characters, `%`,
    surrogates, noncharacters, and what cannot be printed.
    """
    rests = (key[len(start) :] for key in keys if key.startswith(start))
    seen = {letter for rest in rests for letter in rest.partition(DELIMITER)[0]}
    safe = sorted(letter for letter in seen if letter.isprintable() and letter != "%")
    return "".join(safe) if len(safe) > 1 else _FALLBACK


def between(after: str, until: str, alphabet: str, count: int) -> list[str]:
    """At most `count` keys strictly between two bounds, about evenly in strings over `alphabet`.

    Args:
        after: The lower bound.
        until: The upper bound, greater than `after`.
        alphabet: At least two characters, ascending.
        count: How many are wanted.

    Returns:
        Ascending keys of at most 1,024 bytes whose characters beyond the bounds' common start are
        of the alphabet; fewer, or none, where there are not so many.
    """
    start = _common_start(after, until)
    low = _number(after[len(start) :], alphabet)
    high = _number(until[len(start) :], alphabet)
    step = (high - low) // (count + 1)
    places: list[str] = []
    for number in range(1, count + 1):
        floor = places[-1] if places else after
        place = _short_key(start, low + number * step, step, (floor, until), alphabet)
        if place is not None:
            places.append(place)
    return places


def _short_key(
    start: str, target: int, step: int, bounds: tuple[str, str], alphabet: str
) -> str | None:
    """A key strictly between two bounds, as short as an eighth of a step before the target allows.

    None where there is none of at most 1,024 bytes.
    """
    digits = _text(target, alphabet)
    found = None
    for length in range(1, len(digits) + 1):
        key = start + digits[:length]
        if len(key.encode()) > MAX_KEY_BYTES:
            break
        if bounds[0] < key < bounds[1]:
            found = key
            if _number(digits[:length], alphabet) >= target - step // 8:
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
