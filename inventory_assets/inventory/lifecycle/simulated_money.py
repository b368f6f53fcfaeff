"""What stored objects cost before and after a simulation, and what their moves cost once."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.effects import DAYS, ActionKind, Money, OneTimeCost
from inventory_assets.inventory.lifecycle.outcome import Outcome, Subject
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.pricing.storage_cost import StorageRates, rates_of, storage_usd

_Group = tuple[str, int]
"""A class, and a band of sizes within which all objects are priced alike."""

_DAYS_PER_MONTH = 30
_MOVES = frozenset({ActionKind.TRANSITION, ActionKind.NONCURRENT_TRANSITION})


@dataclass(slots=True)
class Stored:
    """Objects and bytes by class and band of sizes, before, after some days and at rest.

    Attributes:
        before: As it is.
        after: After `DAYS` days.
        at_rest: When nothing is left to do.
        moved: The objects moved to each class within `DAYS` days, and in all.
        early: For each group, objects times missing days, and bytes times missing days.
    """

    before: dict[_Group, list[int]] = field(default_factory=dict)
    after: dict[_Group, list[int]] = field(default_factory=dict)
    at_rest: dict[_Group, list[int]] = field(default_factory=dict)
    moved: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    early: tuple[dict[_Group, list[int]], dict[_Group, list[int]]] = field(
        default_factory=lambda: ({}, {})
    )

    def add(self, subject: Subject, outcome: Outcome, band: int, objects: int, size: int) -> None:
        """Add objects or versions with one outcome."""
        first = subject.storage_class
        for groups, name in (
            (self.before, first),
            (self.after, outcome.class_after(DAYS, first)),
            (self.at_rest, outcome.class_after(None, first)),
        ):
            if name is not None:
                _add(groups, (name, band), objects, size)
        for place, bound in enumerate((DAYS, None)):
            for event in outcome.events:
                if event.action.kind in _MOVES and (bound is None or event.day < bound):
                    self.moved[place][event.action.target] += objects
            for end in outcome.early_ends:
                if bound is None or end.day < bound:
                    days = end.missing_days
                    _add(self.early[place], (end.storage_class, band), objects * days, size * days)


def money_of(stored: Stored, prices: Prices) -> Money:
    """The estimated costs of what is stored, before and after, and of the moves."""
    tables = [_table(groups) for groups in (stored.before, stored.after, stored.at_rest)]
    before, after, at_rest = (_sum(storage_usd(rates_of(prices, t), t)) for t in tables)
    rates = rates_of(prices, tables[0])
    in_days, in_all = (
        OneTimeCost(
            tuple(sorted(moved.items())),
            _transition_usd(moved, prices),
            _early_usd(early, rates),
        )
        for moved, early in zip(stored.moved, stored.early, strict=True)
    )
    names = {name for groups in (stored.before, stored.at_rest) for name, _ in groups}
    unknown = sorted(name for name in names if prices.of_class(name) is None)
    return Money(prices.label, before, after, at_rest, in_days, in_all, tuple(unknown))


def _add(groups: dict[_Group, list[int]], group: _Group, objects: int, size: int) -> None:
    found = groups.setdefault(group, [0, 0])
    found[0] += objects
    found[1] += size


def _table(groups: dict[_Group, list[int]]) -> pa.Table:
    return pa.table(
        {
            "storage_class": pa.array([name for name, _ in groups], pa.string()),
            "objects": pa.array([objects for objects, _ in groups.values()], pa.int64()),
            "bytes": pa.array([size for _, size in groups.values()], pa.int64()),
        }
    )


def _sum(costs: pa.DoubleArray) -> float | None:
    return None if costs.null_count else float(sum(costs.to_pylist()))


def _transition_usd(moved: Counter[str], prices: Prices) -> float | None:
    usd = 0.0
    for name, objects in moved.items():
        found = prices.of_class(name)
        if found is None or found.transition_usd_per_1000 is None:
            return None
        usd += objects * found.transition_usd_per_1000 / 1000
    return usd


def _early_usd(early: dict[_Group, list[int]], rates: StorageRates) -> float | None:
    usd = 0.0
    for (name, _), (objects, size) in early.items():
        cost = rates.monthly_usd(
            name, np.array([objects], np.float64), np.array([size], np.float64)
        )
        if cost is None:
            return None
        usd += float(cost[0]) / _DAYS_PER_MONTH
    return usd
