"""Simulate lifecycle rules over the records of an inventory, in one pass.

Records with the same rules, class, age and so on have the same outcome. So each batch is grouped by
what decides an outcome (`record_codes`); each outcome is found once (`outcome_lookup`), and records
only add to its totals. Memory follows from the number of distinct outcomes, not of records.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation
from inventory_assets.inventory.lifecycle.forecast import Forecast
from inventory_assets.inventory.lifecycle.outcome_lookup import OutcomeLookup
from inventory_assets.inventory.lifecycle.outcome_totals import NEVER, OutcomeTotals
from inventory_assets.inventory.lifecycle.prefix_effects import PrefixTallies
from inventory_assets.inventory.lifecycle.record_codes import RecordCodes
from inventory_assets.inventory.lifecycle.record_columns import (
    Days,
    Integers,
    RecordColumns,
    VersionGroups,
    VersionsBefore,
)
from inventory_assets.inventory.lifecycle.rule_effects import simulation_of
from inventory_assets.inventory.lifecycle.rules import LifecycleRules
from inventory_assets.inventory.parts.schema import VERSION_COLUMNS, has_versions
from inventory_assets.inventory.pricing.price_table import Prices

COLUMNS = ("key", "size", "last_modified_date", "storage_class", *VERSION_COLUMNS[1:])
"""The columns that a simulation reads; the last two only of versions."""

PREFIXES_SHOWN = 20
"""Prefixes shown for each rule."""


def simulate(
    records: Iterable[pa.RecordBatch],
    rules: LifecycleRules,
    at: date,
    prices: Prices,
    *,
    depth: int = 1,
) -> LifecycleSimulation:
    """What rules would do to records.

    A listing without versions is simulated as a bucket without versions, in which expiration
    deletes objects. Newer noncurrent versions are counted as they are at first, and the current
    version counts from the day on which it becomes noncurrent. Delete markers that rules add are
    not followed further.

    Args:
        records: The records in key order, the versions of a key from new to old, with `COLUMNS`.
        rules: The rules.
        at: The first day; what is overdue happens on it.
        prices: The prices.
        depth: The number of "/" in the prefixes that are shown for each rule.
    """
    simulator = _Simulator(rules, at, prices, depth)
    for batch in records:
        if batch.num_rows:
            simulator.add(batch)
    return simulator.result()


@dataclass(frozen=True, slots=True)
class _OpenKey:
    """The last key of a batch, whose older versions may follow in the next one.

    Attributes:
        key: The key.
        versions: Its versions seen.
        joins_on: The day on which its current version becomes noncurrent, or `NEVER`.
        marker: The rules and the code of the age of its current delete marker, or None.
        alone_from: The day from which that hides nothing, as far as seen, or `NEVER`.
    """

    key: str
    versions: VersionsBefore
    joins_on: int
    marker: tuple[tuple[int, ...], int] | None
    alone_from: int


class _Simulator:
    def __init__(self, rules: LifecycleRules, at: date, prices: Prices, depth: int) -> None:
        self._rules = rules
        self._at = at
        self._prices = prices
        self._codes = RecordCodes(rules, at, prices)
        count = len(rules.rules)
        self._totals = OutcomeTotals(count, PrefixTallies(depth, count, PREFIXES_SHOWN))
        forecast = Forecast(rules, at, False, self._codes.minimum_days)
        self._outcomes = OutcomeLookup(forecast, self._codes, self._totals)
        self._open: _OpenKey | None = None
        self._undated = 0
        self._has_versions = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch that is not empty."""
        if has_versions(batch.schema) and not self._has_versions:
            self._has_versions = True
            self._outcomes.expect_versions()
        columns = RecordColumns.of(batch)
        self._undated += int((~columns.created.known).sum())
        heads = self._codes.heads(columns)
        if self._has_versions:
            self._add_versions(columns, heads)
        else:
            ids = self._outcomes.current(heads, columns.created)
            self._totals.count(columns.keys, columns.sizes, ids)

    def _add_versions(self, columns: RecordColumns, heads: Integers) -> None:
        before = self._open
        if before is not None and columns.keys[0].as_py() != before.key:
            self._end_key(before)
            before = None
        groups = VersionGroups.of(columns, before.versions if before else None)
        totals, group = self._totals, groups.group
        ids = np.full(len(group), -1, np.int64)

        current, old = columns.current, columns.noncurrent
        ids[current] = self._outcomes.current(heads[current], columns.created[current])
        joins = np.full(groups.last + 1, NEVER, np.int64)
        joins[0] = before.joins_on if before else NEVER
        joins[group[current]] = totals.hidden_on(ids[current])
        ids[old] = self._outcomes.noncurrent(
            heads[old],
            columns.created[old],
            groups.since[old],
            groups.newer[old],
            joins[group[old]],
        )
        # A current delete marker hides nothing from the day after its other versions ended.
        alone = np.zeros(groups.last + 1, np.int64)
        alone[0] = before.alone_from if before else 0
        ended = totals.ended_on(ids[old])
        np.maximum.at(alone, group[old], np.where(ended == NEVER, NEVER, ended + 1))
        if before and groups.last > 0:
            self._end_key(replace(before, alone_from=int(alone[0])))
        marker = before.marker if before and groups.last == 0 else None
        for row in columns.current_markers:
            found = self._marker(int(heads[row]), columns.created[row : row + 1])
            if group[row] == groups.last:
                marker = found
            else:
                ids[row] = self._outcomes.marker(*found, int(alone[group[row]]))
        done = np.flatnonzero(ids >= 0)
        keys = columns.keys if len(done) == len(ids) else columns.keys.take(pa.array(done))
        totals.count(keys, columns.sizes[done], ids[done])
        is_counted = not (columns.is_latest[-1] or columns.is_marker[-1])
        created = columns.created
        self._open = _OpenKey(
            columns.keys[len(ids) - 1].as_py(),
            VersionsBefore(
                int(created.values[-1]) if created.known[-1] else None,
                int(groups.newer[-1]) + is_counted,
            ),
            int(joins[groups.last]),
            marker,
            int(alone[groups.last]),
        )

    def _end_key(self, ended: _OpenKey) -> None:
        """Decide on the delete marker of a key whose versions all are known."""
        if ended.marker is not None:
            index = self._outcomes.marker(*ended.marker, ended.alone_from)
            self._totals.count(pa.array([ended.key]), np.zeros(1, np.int64), np.array([index]))

    def _marker(self, head: int, created: Days) -> tuple[tuple[int, ...], int]:
        """The rules that a current delete marker passes, and the code of its age."""
        (age,) = self._codes.ages(created, self._codes.oldest).tolist()
        return self._codes.marker_rules(head), age

    def result(self) -> LifecycleSimulation:
        """What the rules do to all records added."""
        if self._open is not None:
            self._end_key(self._open)
            self._open = None
        return simulation_of(
            self._totals,
            self._rules.rules,
            self._at,
            self._prices,
            has_versions=self._has_versions,
            undated=self._undated,
        )
