"""How densely keys lie, as far as was seen; so, how much a range has left.

Keys are taken for paths of names. A key stands at a place in [0, 1] as if all names that the
characters seen at its depth allow were there, and all as large; between two places it is counted
how many pages came. That is good for hashes, numbers and dates, which are what most large folders
hold. It is poor for words, and where one folder is a thousand times another; so whoever asks has
to cope with what is far off.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from math import inf

from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.keyspace.key_range import DELIMITER, ceiling_of, prefix_upper_bound

_LEAST_WIDTH = 1e-15
"""Of [0, 1], what cannot be told from nothing."""

_DEPTHS = 16
"""Depths at which names are looked at."""

_MOST_LETTERS = 256
"""Characters of a depth that are remembered."""

_MOST_DIGITS = 4096
"""Of a depth, that are remembered."""

_GREATEST_LENGTH = 48
"""Characters of the greatest name that are."""

_UNUSUAL = 2
"""A folder that has held so many times as many pages as the average one is no average one."""


class KeyDensityModel:
    """What was seen of a key space, and what follows for the rest of it."""

    def __init__(self) -> None:
        self._names: dict[int, _Names] = defaultdict(_Names)
        """By depth."""
        self._last: dict[str, str] = {}
        """The last folder of a level, where it is known."""

    def observe_key(self, key: str) -> None:
        """Remember what the names of a key are made of."""
        start = 0
        for depth, name in enumerate(key.split(DELIMITER, _DEPTHS)[:_DEPTHS]):
            end = start + len(name)
            self._names[depth].observe(name, key[:start], is_folder=end < len(key))
            start = end + 1

    def observe_folders(self, level: str, folders: Sequence[str], *, are_last: bool) -> None:
        """Remember folders of a level, ascending; perhaps all that it has from the first on."""
        for folder in folders:
            self.observe_key(folder)
        if folders and are_last:
            self._last[level] = folders[-1]

    def observe_pages(self, after: str, upto: str, until: str, pages: int) -> None:
        """Remember that there were so many pages between two keys, both of pages of a range.

        Args:
            after: The last key of the page before them.
            upto: The last key of the last one.
            until: Where the range ends.
            pages: How many.
        """
        end = self._end(upto, until)
        if after < upto < end:
            level = level_of(after, end, "")
            names = self._names[level.count(DELIMITER)]
            names.pages += pages
            names.distance += self._distance(after, upto, level)
            names.are_measured |= level_of(after, upto, "") == level

    def pages_left(self, task: RangeTask, until: str) -> float:
        """About how many pages a range has left up to a key; infinite where nobody can tell yet.

        A range that went from one folder of a level into another goes on as densely as it did.
        One that stayed in one folder has none to compare it with, but those that other ranges met
        at that depth, unless it is far larger than they were.
        """
        here, end = task.cursor, self._end(task.cursor, until)
        if not here < end:
            return 0.0
        measures = [(since, pages) for since, pages in task.history if since < here]
        for since, pages in measures:
            level = level_of(since, end, "")
            if level_of(since, here, "") == level:
                return pages * self._ratio(since, here, end)
        level = level_of(here, end, "")
        names = self._names[level.count(DELIMITER)]
        if names.are_measured and names.distance > 0:
            folder = here[: here.find(DELIMITER, len(level)) + 1]
            density = names.pages / names.distance
            usual = density * self._distance(folder, prefix_upper_bound(folder), level)
            if all(pages <= _UNUSUAL * usual for _, pages in measures):
                return density * self._distance(here, end, level)
        return next((pages * self._ratio(since, here, end) for since, pages in measures), inf)

    def _end(self, after: str, until: str) -> str:
        """About where the keys before a bound end, where that is the end of a folder.

        There names are taken to end as they do in other folders of the same depth.
        """
        level = ceiling_of(until)
        if level is None or (level and not level.endswith(DELIMITER)):
            return until
        while level in self._last:
            level = self._last[level]
        names = takewhile(lambda each: each.is_typical, self._deeper(level.count(DELIMITER)))
        typical = level + DELIMITER.join(each.greatest for each in names)
        return next(
            (
                end
                for end in (prefix_upper_bound(typical), prefix_upper_bound(level))
                if after < end
            ),
            until,
        )

    def _deeper(self, depth: int) -> Iterator["_Names"]:
        while depth in self._names:
            yield self._names[depth]
            depth += 1

    def _distance(self, after: str, until: str, level: str) -> float:
        return self._position(until, len(level)) - self._position(after, len(level))

    def _ratio(self, since: str, here: str, end: str) -> float:
        """How far it is from `here` to the end, by how far it was from `since`."""
        start = common_start(since, end)
        come = self._distance(since, here, start)
        return self._distance(here, end, start) / come if come > 0 else inf

    def _position(self, key: str, start: int) -> float:
        """Where in [0, 1] a key stands among those with its first `start` characters."""
        place, width = 0.0, 1.0
        depth, at = key.count(DELIMITER, 0, start), start - key.rfind(DELIMITER, 0, start) - 1
        names = self._names[depth]
        for letter in key[start:]:
            digit, base = names.digits.get((letter, at)) or names.digit(letter, at)
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
        greatest: The beginning of the greatest of them.
        is_typical: Whether they were seen in several folders.
        pages: Pages listed between keys of a folder of this depth.
        distance: The sum of how far these keys were from each other.
        are_measured: Whether that led from one name to another at least once.
    """

    def __init__(self) -> None:
        self.greatest = ""
        self.is_typical = False
        self.pages, self.distance, self.are_measured = 0, 0.0, False
        self._folder: str | None = None
        self._known: set[str] = set()
        self._letters = ""
        """Those known, in order."""
        self._longest = 0
        self._ends: set[int] = set()
        """How long folders' names are."""
        self.digits: dict[tuple[str, int], tuple[int, int]] = {}
        """What `digit` has found; forgotten when what it depends on changes."""

    def observe(self, name: str, folder: str, *, is_folder: bool) -> None:
        # Called for each name of each page's last key: as a rule nothing is new.
        length = len(name)
        if self._folder is None:
            self._folder = folder
        if not self.is_typical and folder != self._folder:
            self.is_typical = True
            self.digits.clear()
        if name > self.greatest:
            if name[:1] != self.greatest[:1]:
                self.digits.clear()
            self.greatest = max(self.greatest, name[:_GREATEST_LENGTH])
        if length > self._longest:
            self._longest = length
            self.digits.clear()
        if is_folder and length not in self._ends:
            self._ends.add(length)
            self.digits.clear()
        if not self._known.issuperset(name) and len(self._letters) < _MOST_LETTERS:
            self._known.update(name)
            self._letters = "".join(sorted(self._known))
            # In other characters distances are others.
            self.pages, self.distance, self.are_measured = 0, 0.0, False
            self.digits.clear()

    def digit(self, letter: str, at: int) -> tuple[int, int]:
        """Find what a character at some place of a name counts, and the base of that place.

        The base itself for what is greater than any seen.
        """
        if len(self.digits) >= _MOST_DIGITS:
            self.digits.clear()
        found = self.digits[letter, at] = self._find_digit(letter, at)
        return found

    def _find_digit(self, letter: str, at: int) -> tuple[int, int]:
        may_end = at in self._ends or letter == DELIMITER
        letters = self._letters if at < self._longest else ""
        if at == 0 and self.is_typical:
            letters = letters[: bisect_right(letters, self.greatest[:1])]
        base = max(1, len(letters) + may_end)
        if letter == DELIMITER:
            return 0, base
        return bisect_left(letters, letter) + may_end, base


def level_of(after: str, until: str, prefix: str) -> str:
    """The deepest folder that holds both bounds, at least `prefix`."""
    common = common_start(after, until)
    level = common[: common.rfind(DELIMITER) + 1]
    return level if level.startswith(prefix) else prefix


def common_start(one: str, other: str) -> str:
    """What two keys both start with."""
    for at, letter in enumerate(one):
        if not other.startswith(letter, at):
            return one[:at]
    return one
