"""Estimate how many pages a range has left, from the key density seen so far.

Keys are paths of names. A key is mapped to a position in [0, 1], assuming that all names that can
be formed from the characters seen at a depth exist and have the same number of keys. The density is
the number of pages received between two positions, divided by their distance. The estimate is good
for hashes, numbers and dates, which most large folders contain. It is poor for words, and if one
folder has a thousand times the keys of another. Callers must expect estimates that are far off.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from math import inf

from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.keyspace.key_range import (
    DELIMITER,
    prefix_of_upper_bound,
    prefix_upper_bound,
)

_LEAST_WIDTH = 1e-15
"""As a part of [0, 1]; digits of less weight are ignored."""

_DEPTHS = 16
"""Maximum depth at which names are observed."""

_MOST_LETTERS = 256
"""Maximum distinct characters stored per depth."""

_MOST_DIGITS = 4096
"""Maximum cached digits per depth."""

_GREATEST_LENGTH = 48
"""Maximum characters stored of the greatest name."""

_UNUSUAL = 2
"""A folder with more than this multiple of the average pages is not estimated by the average."""


class KeyDensityModel:
    """Observes the keys of a scan, and estimates the pages that are left."""

    def __init__(self) -> None:
        self._names: dict[int, _Names] = defaultdict(_Names)
        """By depth, from 0."""
        self._last: dict[str, str] = {}
        """Level to its last folder, if it is known."""

    def observe_key(self, key: str) -> None:
        """Record the characters and lengths of the names in a key."""
        start = 0
        for depth, name in enumerate(key.split(DELIMITER, _DEPTHS)[:_DEPTHS]):
            end = start + len(name)
            self._names[depth].observe(name, key[:start], is_folder=end < len(key))
            start = end + 1

    def observe_folders(self, level: str, folders: Sequence[str], *, are_last: bool) -> None:
        """Record ascending folders of a level, and whether no folder follows the last one."""
        for folder in folders:
            self.observe_key(folder)
        if folders and are_last:
            self._last[level] = folders[-1]

    def observe_pages(self, after: str, upto: str, until: str, pages: int) -> None:
        """Record the number of pages of a range between two keys.

        Args:
            after: The last key of the page before the first of these pages.
            upto: The last key of the last of these pages.
            until: The end of the range.
            pages: The number of pages.
        """
        end = self._end(upto, until)
        if after < upto < end:
            level = level_of(after, end, "")
            names = self._names[level.count(DELIMITER)]
            names.pages += pages
            names.distance += self._distance(after, upto, level)
            names.are_measured |= level_of(after, upto, "") == level

    def pages_left(self, task: RangeTask, until: str) -> float:
        """Estimate the pages that a range has left up to a key; infinite if nothing is known.

        If the range has passed from one folder of a level to another, its own density is used. If
        it has stayed in one folder, the density of other ranges at that depth is used, unless this
        folder is much larger than theirs.
        """
        here = task.fetch.cursor
        end = self._end(here, until)
        if not here < end:
            return 0.0
        measures = [(since, pages) for since, pages in task.fetch.history if since < here]
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
        """Estimate the last key before a bound that is the end of a folder.

        The greatest names are assumed to be those of other folders of the same depth.
        """
        level = prefix_of_upper_bound(until)
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
        """The distance between two positions; `until` is the greater key.

        The delimiter counts as the lowest character, although other characters sort below it. So
        the position of `until` may be lower than that of `after`; then the distance is 0.
        """
        start = len(level)
        return max(0.0, self._position(until, start) - self._position(after, start))

    def _ratio(self, since: str, here: str, end: str) -> float:
        """The distance from `here` to the end, divided by the distance from `since` to `here`."""
        start = common_start(since, end)
        come = self._distance(since, here, start)
        return self._distance(here, end, start) / come if come > 0 else inf

    def _position(self, key: str, start: int) -> float:
        """The position in [0, 1] of a key among those with the same first `start` characters."""
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
    """The names observed at one depth.

    Attributes:
        greatest: The beginning of the greatest name.
        is_typical: Whether names were seen in several folders.
        pages: The number of pages received between keys within one folder of this depth.
        distance: The sum of the distances between these keys.
        are_measured: Whether at least one such pair of keys had different names at this depth.
        digits: A cache of `digit`; cleared when its inputs change.
    """

    def __init__(self) -> None:
        self.greatest = ""
        self.is_typical = False
        self.pages, self.distance, self.are_measured = 0, 0.0, False
        self._folder: str | None = None
        self._known: set[str] = set()
        self._letters = ""
        """The characters in `_known`, in order."""
        self._longest = 0
        self._ends: set[int] = set()
        """The lengths of folders' names."""
        self.digits: dict[tuple[str, int], tuple[int, int]] = {}

    def observe(self, name: str, folder: str, *, is_folder: bool) -> None:
        # Called for each name of each page's last key, which rarely has anything new.
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
            # Distances depend on the known characters.
            self.pages, self.distance, self.are_measured = 0, 0.0, False
            self.digits.clear()

    def digit(self, letter: str, at: int) -> tuple[int, int]:
        """The value of a character at an index in a name, and the base of that index.

        The value is the base itself for a character greater than all that were seen.
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
    """The deepest folder that contains both bounds, or `prefix` if that is longer."""
    common = common_start(after, until)
    level = common[: common.rfind(DELIMITER) + 1]
    return level if level.startswith(prefix) else prefix


def common_start(one: str, other: str) -> str:
    """The longest common prefix of two keys."""
    for at, letter in enumerate(one):
        if not other.startswith(letter, at):
            return one[:at]
    return one
