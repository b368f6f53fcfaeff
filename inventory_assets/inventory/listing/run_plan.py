"""Divide the shards of a date among several runs: a part of neighbours for each, alike in rows."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from statistics import median_low

from inventory_assets.s3.decoding.page import MAX_KEYS

_MIN_ROWS = MAX_KEYS
"""Added to the rows of each shard: one without objects costs a request, too, as a page does."""


def planned_runs(rows: Mapping[str, int], runs: int, objects_per_run: int | None) -> int:
    """How many runs list a date.

    Args:
        rows: The rows of each shard in the last manifest; empty without a manifest.
        runs: The most runs.
        objects_per_run: No more runs start than there are so many rows for; None for `runs`.
    """
    if objects_per_run is None or not rows:
        return runs
    return max(1, min(runs, -(-sum(rows.values()) // objects_per_run)))


def shard_weights(prefixes: Sequence[str], rows: Mapping[str, int]) -> list[int]:
    """What each shard is expected to cost; one that is not in `rows` counts as the median."""
    usual = median_low(rows.values()) if rows else 0
    return [rows.get(prefix, usual) + _MIN_ROWS for prefix in prefixes]


def balanced_slices(weights: Sequence[int], count: int) -> list[slice]:
    """Divide a sequence into contiguous parts, so that the heaviest is as light as possible.

    Args:
        weights: The weights of the items, none negative.
        count: The number of parts; no part is empty, so fewer if there are fewer items.

    Returns:
        The parts, in order.
    """
    count = min(count, len(weights))
    if count == 0:
        return []
    ends = [0, *accumulate(weights)]
    low, high = max(*weights, -(-ends[-1] // count)), ends[-1]
    while low < high:
        middle = (low + high) // 2
        if _parts_within(weights, middle) <= count:
            high = middle
        else:
            low = middle + 1
    slices: list[slice] = []
    start = 0
    for number in range(1, len(weights) + 1):
        is_full = number < len(weights) and ends[number + 1] - ends[start] > low
        are_as_many_left = len(weights) - number == count - len(slices) - 1
        if number == len(weights) or is_full or are_as_many_left:
            slices.append(slice(start, number))
            start = number
    return slices


def shared_slices(weights: Sequence[int], count: int) -> list[slice]:
    """Divide a sequence among runs that can share an item.

    Each run has an equal part of the whole weight. An item that is heavier than that belongs to all
    runs into whose parts it reaches; any other item belongs to one run.

    Args:
        weights: The weights of the items, all positive.
        count: The number of runs.

    Returns:
        The items of each run, in order; none is empty, and all items are in one at least.
    """
    if not weights:
        return []
    ends = [0, *accumulate(each * count for each in weights)]
    share = ends[-1] // count
    bounds = [share * number for number in range(count)] + [ends[-1]]
    for number in range(1, count):
        item = bisect_right(ends, bounds[number]) - 1
        left, right = ends[item], ends[item + 1]
        if right - left < share:
            near_left = bounds[number] - left <= right - bounds[number]
            bounds[number] = left if near_left else right
    return [
        slice(bisect_right(ends, begin) - 1, bisect_left(ends, end))
        for begin, end in pairwise(bounds)
    ]


def _parts_within(weights: Sequence[int], bound: int) -> int:
    """The fewest contiguous parts of which none is heavier than a bound."""
    parts, filled = 1, 0
    for weight in weights:
        if filled + weight > bound:
            parts, filled = parts + 1, 0
        filled += weight
    return parts
