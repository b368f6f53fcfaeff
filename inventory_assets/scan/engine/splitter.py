"""Choose the keys at which a range is split.

If a level has folders, split points are the ends of folders. Otherwise they are interpolated
between two keys, in the alphabet of the keys seen so far, so that hexadecimal names are halved
between '7' and '8', not between 'O' and 'P'.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import inf

from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.key_density import KeyDensityModel, common_start, level_of
from inventory_assets.scan.engine.range_task import RangeTask
from inventory_assets.scan.keyspace.key_range import (
    DELIMITER,
    MAX_KEY_BYTES,
    KeyRange,
    prefix_upper_bound,
)

_DIGITS = 48
"""Characters after the common start that are used; more than any split needs."""

_FALLBACK = "0123456789abcdefghijklmnopqrstuvwxyz"

_LEVELS = 8
"""Maximum levels with a single folder through which one split descends."""

_SAMPLE = 64
"""Number of recent keys whose characters form the observed alphabet."""

_KNOWN_LEVELS = 32
"""Maximum levels whose folders are cached, up to a page per level."""

_MAX_SPLIT_POINTS = 14
"""Maximum interpolated split points of one split, to be divided by `pages_before_next_split`: each
range that is empty costs a request."""

PAGES_MEASURED = 8
"""Density is measured for each of the first pages of a range, and then once per this many pages: a
single page adds little, and each measurement costs CPU time."""

_PAGES_PER_KEY = 4
"""Beyond its first pages, one key of so many pages of a range is observed."""

_PAGES_WORTH_FOLDERS = 16
"""Minimum estimated pages in the next page of folders of a level to split there; otherwise split
points are interpolated."""


class Splitter:
    """Chooses split points from the keys seen so far.

    It writes `RangeTask.density`.

    Args:
        lister: The bucket.
    """

    def __init__(self, lister: PageSource) -> None:
        self._lister = lister
        self._sample: deque[str] = deque(maxlen=_SAMPLE)
        self._flat: set[str] = set()
        """Levels without folders, or with too many small ones."""
        self._folders: dict[str, tuple[str, str, list[str]]] = {}
        """Level to two keys and the folders that contain all keys between them."""
        self._density = KeyDensityModel()

    def observe_key(self, key: str) -> None:
        """Record a key."""
        self._sample.append(key)
        self._density.observe_key(key)

    def observe_page(self, task: RangeTask) -> None:
        """Record the last page of a range, after its cursor advanced."""
        fetch, measured = task.fetch, task.density
        since, count = measured.measured_key, fetch.pages - measured.measured_pages
        is_early = fetch.pages <= PAGES_MEASURED
        if is_early or not fetch.pages % _PAGES_PER_KEY:
            self.observe_key(fetch.cursor)
        if count < PAGES_MEASURED and not is_early:
            return
        if measured.measured_pages:
            self._density.observe_pages(since, fetch.cursor, task.key_range.until, count)
        measured.measured_key, measured.measured_pages = fetch.cursor, fetch.pages

    def pages_left(self, task: RangeTask) -> float:
        """Estimate the pages that a range has left; infinite if nothing is known yet."""
        known, span = task.density, (task.fetch.cursor, task.key_range.until)
        if span != known.estimated_at or known.estimate == inf:
            known.estimated_at = span
            known.estimate = self._density.pages_left(task, task.key_range.until)
        return known.estimate

    async def split_points(self, task: RangeTask, wanted: int) -> list[str]:
        """Choose up to `wanted` ascending keys at which to split the rest of a range.

        This takes no request if the job has split hints within the range; otherwise one per level
        whose folders are not cached.

        Raises:
            S3Error: A request failed permanently.
        """
        # The cursor of a range without a page may be before the range.
        after, until = max(task.fetch.cursor, task.key_range.after), task.key_range.until
        hints = task.job.split_hints
        hinted = hints[bisect_right(hints, after) : bisect_left(hints, until)]
        if hinted:
            return pick_evenly(hinted, wanted)
        level = level_of(after, until, task.job.prefix)
        since, _ = task.fetch.history[0]
        for _ in range(task.split.failed_splits):
            # Splits at this level gained little: most keys may be in the cursor's folder.
            deeper = after[: after.find(DELIMITER, len(level)) + 1]
            level = deeper if since.startswith(deeper or after) else level
        for _ in range(_LEVELS):
            folders = await self._folders_after(level, after, task)
            if folders is None:
                break
            inside = [name for name in folders if name < until]
            if not inside:
                break
            if len(inside) > 1:
                return pick_evenly([prefix_upper_bound(name) for name in inside[:-1]], wanted)
            level = inside[0]
        upper = min(until, prefix_upper_bound(level))
        if not after < upper:
            return []
        alphabet = observed_alphabet(list(self._sample), common_start(after, upper))
        return interpolate_keys(
            after,
            upper,
            alphabet,
            min(wanted, max(1, _MAX_SPLIT_POINTS // task.split.pages_before_next_split)),
        )

    async def _folders_after(self, level: str, after: str, task: RangeTask) -> list[str] | None:
        """The folders of a level after `after`; None if split points should be interpolated.

        If there are more than one page of folders, the result is one page, or None if these folders
        seem small.
        """
        if level in self._flat:
            return None
        known = self._folders.get(level)
        if known is None or not known[0] <= after <= known[1]:
            request = PageRequest(level, start_after=task.fetch.cursor, delimiter=DELIMITER)
            page = await self._lister.list_page(request, task.job.stats)
            names = [name for name in page.common_prefixes if len(name) > len(level)]
            self._density.observe_folders(level, names, are_last=not page.is_truncated)
            if not names or (page.is_truncated and not self._are_large(task, names)):
                self._flat.add(level)
                return None
            end = names[-1] if page.is_truncated else prefix_upper_bound(level)
            known = self._folders[level] = after, end, names
            if len(self._folders) > _KNOWN_LEVELS:
                del self._folders[next(iter(self._folders))]
        return [name for name in known[2] if after < prefix_upper_bound(name)]

    def _are_large(self, task: RangeTask, folders: Sequence[str]) -> bool:
        pages = self._density.pages_left(task, folders[-1])
        return _PAGES_WORTH_FOLDERS <= pages < inf


async def split_evenly(
    lister: PageSource, prefix: str, count: int, stats: RequestStats
) -> list[KeyRange]:
    """Split the keys under a prefix into at most `count` ranges of about the same size.

    Raises:
        S3Error: A request failed permanently.
    """
    splitter = Splitter(lister)
    page = await lister.list_page(PageRequest(prefix), stats)
    keys = page.objects.column("key").to_pylist()
    for key in keys:
        splitter.observe_key(key)
    whole = KeyRange.of_prefix(prefix)
    bounds = [whole.after, whole.until]
    while keys and len(bounds) <= count:
        splits: list[str] = []
        for after, until in pairwise(bounds):
            wanted = (count + 1 - len(bounds) - len(splits)) // (len(bounds) - 1) or 1
            if len(bounds) + len(splits) <= count:
                task = RangeTask(
                    ListingJob(prefix, [], stats), 0, KeyRange(max(after, keys[0]), until)
                )
                splits += await splitter.split_points(task, wanted)
        if not splits:
            break
        bounds = sorted({*bounds, *splits})
    return [KeyRange(after, until) for after, until in pairwise(bounds)]


def observed_alphabet(keys: Iterable[str], start: str) -> str:
    """The characters in the names after `start` in keys, in order; a default if fewer than two.

    Characters that are unsafe in a request or an XML document are left out: `%`, and unprintable
    ones, such as control characters, surrogates and noncharacters.
    """
    rests = (key[len(start) :] for key in keys if key.startswith(start))
    seen = {letter for rest in rests for letter in rest.partition(DELIMITER)[0]}
    safe = sorted(letter for letter in seen if letter.isprintable() and letter != "%")
    return "".join(safe) if len(safe) > 1 else _FALLBACK


def interpolate_keys(after: str, until: str, alphabet: str, count: int) -> list[str]:
    """At most `count` keys strictly between two bounds, evenly spaced in strings over `alphabet`.

    Args:
        after: The lower bound.
        until: The upper bound, greater than `after`.
        alphabet: At least two characters, ascending.
        count: The maximum number of keys.

    Returns:
        Ascending keys of at most 1,024 bytes. After the common start of the bounds they consist of
        characters of the alphabet. There are fewer than `count` if no more such keys exist.
    """
    start = common_start(after, until)
    low = _number(after[len(start) :], alphabet)
    high = _number(until[len(start) :], alphabet)
    step = (high - low) // (count + 1)
    keys: list[str] = []
    for number in range(1, count + 1):
        lower = keys[-1] if keys else after
        key = _short_key(start, low + number * step, step, (lower, until), alphabet)
        if key is not None:
            keys.append(key)
    return keys


def _short_key(
    start: str, target: int, step: int, bounds: tuple[str, str], alphabet: str
) -> str | None:
    """The shortest key between two bounds that is at most an eighth of a step below the target.

    None if no key of at most 1,024 bytes is between them.
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


def pick_evenly(keys: Sequence[str], count: int) -> list[str]:
    """Choose at most `count` of the keys, evenly spaced."""
    count = min(count, len(keys))
    step = (len(keys) + 1) / (count + 1)
    return [keys[round(step * (number + 1)) - 1] for number in range(count)]


def _number(text: str, alphabet: str) -> int:
    """The text as a number of `_DIGITS` digits in the alphabet, the most significant first."""
    base, number = len(alphabet), 0
    for index in range(_DIGITS):
        digit = bisect_left(alphabet, text[index]) if index < len(text) else 0
        number = number * base + digit
        if index < len(text) and text[index] != alphabet[digit : digit + 1]:
            # A character outside the alphabet counts as the next one in it, and ends the number.
            return int(number * base ** (_DIGITS - index - 1))
    return number


def _text(number: int, alphabet: str) -> str:
    base = len(alphabet)
    number = min(number, base**_DIGITS - 1)
    letters = []
    for _ in range(_DIGITS):
        number, digit = divmod(number, base)
        letters.append(alphabet[digit])
    return "".join(reversed(letters))
