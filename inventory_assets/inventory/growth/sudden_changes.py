"""Sudden rises and falls of the whole inventory, and of prefixes that held much of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.growth.dated_sizes import MEASURES, DatedSizes
from inventory_assets.inventory.growth.wording import label
from inventory_assets.units import human_bytes, human_share


@dataclass(frozen=True, slots=True)
class SuddenChange:
    """Objects or bytes that rose or fell by more than a bound.

    Attributes:
        prefix: Of which prefix; the whole inventory is "".
        measure: `objects` or `bytes`.
        before: Their number before.
        now: Their number now; without a row, the most that it can be.
        is_exact: Whether `now` is exact.
        day_before: The date before.
        day: The date.
        mostly_in: The deepest prefix that holds more than half of the change; "" for none.
    """

    prefix: str
    measure: str
    before: int
    now: int
    is_exact: bool
    day_before: date
    day: date
    mostly_in: str = ""

    @property
    def text(self) -> str:
        """A sentence with the prefix, the numbers and the dates."""
        verb = "rose" if self.now > self.before else "fell"
        at_least, at_most = ("", "") if self.is_exact else ("at least ", "at most ")
        share = human_share(abs(self.now - self.before), self.before)
        where = f", mostly in {label(self.mostly_in)}" if self.mostly_in else ""
        return (
            f"{label(self.prefix)} {verb} by {at_least}{share} in {self.measure}, from "
            f"{self._number(self.before)} on {self.day_before} to {at_most}"
            f"{self._number(self.now)} on {self.day}{where}"
        )

    def _number(self, number: int) -> str:
        return human_bytes(number) if self.measure == "bytes" else f"{number:,}"


def changed_whole(before: DatedSizes, now: DatedSizes, bounds: GrowthBounds) -> list[SuddenChange]:
    """The sudden changes of the whole inventory."""
    return list(_changes("", before, now, bounds))


def changed_prefixes(
    before: DatedSizes, now: DatedSizes, bounds: GrowthBounds
) -> list[SuddenChange]:
    """The sudden changes of prefixes that held much of the inventory before, in byte order.

    A prefix that held little before is not compared: prefixes of dates appear and grow every day.
    """
    return [
        change
        for prefix, held in before.sizes.items()
        if prefix
        and any(
            part * 100 > whole * bounds.prefix_percent
            for part, whole in zip(held, before.whole, strict=True)
        )
        for change in _changes(prefix, before, now, bounds)
    ]


def _changes(
    prefix: str, before: DatedSizes, now: DatedSizes, bounds: GrowthBounds
) -> Iterator[SuddenChange]:
    held, holds = before.sizes[prefix], now.most(prefix)
    if held[0] < bounds.min_objects:
        return
    # Without a row, a prefix may hold anything up to `holds`: a fall can be told, but no rise.
    has_row = prefix in now.sizes
    for index, measure in enumerate(MEASURES):
        change = (holds[index] - held[index]) * 100
        fell = -change > bounds.fell_percent * held[index]
        rose = has_row and change > bounds.rose_percent * held[index]
        # No share of nothing can be told.
        if held[index] and (fell or rose):
            yield SuddenChange(
                prefix,
                measure,
                held[index],
                holds[index],
                has_row or not holds[index],
                before.day,
                now.day,
                "" if prefix else _main_prefix(before, now, index),
            )


def _main_prefix(before: DatedSizes, now: DatedSizes, index: int) -> str:
    """The deepest prefix that surely holds more than half of the change of the whole."""
    change = now.whole[index] - before.whole[index]
    names = before.sizes if change < 0 else now.sizes
    found = [
        (part, name)
        for name in names
        if name and (part := _sure_part(before, now, name, index)) * 2 > abs(change)
    ]
    # A prefix and those beneath it may hold equal parts.
    return max(found, default=(0, ""))[1]


def _sure_part(before: DatedSizes, now: DatedSizes, name: str, index: int) -> int:
    """How much a prefix rose, or fell, at least, in the direction of the whole."""
    if now.whole[index] < before.whole[index]:
        return before.sizes[name][index] - now.most(name)[index]
    return now.sizes[name][index] - before.most(name)[index]
