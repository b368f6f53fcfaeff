"""Simulate lifecycle rules over the records of an inventory, in one pass.

Records with the same rules, class, age and so on have the same outcome. So each batch is grouped by
what decides an outcome; each outcome is found once (`outcome`), and records only add to its totals.
Memory follows from the number of distinct outcomes, not of records.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.effects import (
    DAYS,
    Action,
    ActionEffect,
    ActionKind,
    Dispute,
    LifecycleSimulation,
    RuleEffect,
    Tally,
)
from inventory_assets.inventory.lifecycle.outcome import Forecast, State, Subject
from inventory_assets.inventory.lifecycle.outcome_totals import NEVER, OutcomeTotals
from inventory_assets.inventory.lifecycle.prefix_effects import PrefixTallies
from inventory_assets.inventory.lifecycle.record_columns import (
    Days,
    Integers,
    RecordColumns,
    VersionGroups,
    VersionsBefore,
)
from inventory_assets.inventory.lifecycle.rules import (
    DEFAULT_MINIMUM_BYTES,
    LifecycleRules,
    Rule,
)
from inventory_assets.inventory.lifecycle.simulated_money import Stored, money_of
from inventory_assets.inventory.parts.schema import VERSION_COLUMNS, has_versions
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

COLUMNS = ("key", "size", "last_modified_date", "storage_class", *VERSION_COLUMNS[1:])
"""The columns that a simulation reads; the last two only of versions."""

PREFIXES_SHOWN = 20
"""Prefixes shown for each rule."""

_EARLIEST_AGE = -40_000
"""Days; records from further in the future are treated as if from then."""
_CLASSES = 1 << 10
"""More classes than a store has."""
_OLDEST_AGE = 1_000_000
"""Days; more than any record has."""


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
        marker: The rules and age of its current delete marker, or None.
        alone_from: The day from which that hides nothing, as far as seen, or `NEVER`.
    """

    key: str
    versions: VersionsBefore
    joins_on: int
    marker: tuple[tuple[int, ...], int | None] | None
    alone_from: int


class _Simulator:
    def __init__(self, rules: LifecycleRules, at: date, prices: Prices, depth: int) -> None:
        self._rules = rules
        self._at = at
        self._prices = prices
        self._at_day = (at - date(1970, 1, 1)).days
        minimum_days = {name: each.minimum_days for name, each in prices.classes.items()}
        if prices.unnamed_class:
            minimum_days[""] = minimum_days[prices.unnamed_class]
        self._forecast = Forecast(rules, at, False, minimum_days)
        # Beyond these ages all is overdue, and no minimum duration is missed.
        longest = max(minimum_days.values(), default=0)
        self._oldest = min(max(longest, *map(_longest, rules.rules)) + 2, _OLDEST_AGE)
        actions = [action for rule in rules.rules for action in _noncurrent_actions(rule)]
        self._oldest_noncurrent = min(
            max((action.days for action in actions), default=0) + 2, self._oldest
        )
        self._span = self._oldest - _EARLIEST_AGE + 2
        self._thresholds = np.array(sorted(_thresholds(rules, prices)), np.int64)
        self._band_sizes = [0, *map(int, self._thresholds)]
        self._marker_band = len(self._band_sizes)
        self._ranges = {
            index: KeyRange.of_prefix(rule.prefix)
            for index, rule in enumerate(rules.rules)
            if rule.is_simulated
        }
        self._newer_bounds = np.unique([action.newer for action in actions]).astype(np.int64)
        self._rule_sets: dict[tuple[int, ...], int] = {}
        self._rule_set_list: list[tuple[int, ...]] = []
        self._classes: dict[str, int] = {}
        self._class_list: list[str] = []
        self._accepted: dict[tuple[int, int], tuple[int, ...]] = {}
        self._memo: dict[tuple[int, ...], int] = {}
        count = len(rules.rules)
        self._totals = OutcomeTotals(count, PrefixTallies(depth, count, PREFIXES_SHOWN))
        self._open: _OpenKey | None = None
        self._undated = 0
        self._has_versions = False

    # -- records --------------------------------------------------------------------------------

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch that is not empty."""
        if has_versions(batch.schema) and not self._has_versions:
            self._has_versions = True
            self._forecast = replace(self._forecast, has_versions=True)
        columns = RecordColumns.of(batch)
        self._undated += int((~columns.created.known).sum())
        heads = self._match(columns.keys) * (self._marker_band + 1) + self._bands_of(columns)
        heads = heads * _CLASSES + self._class_codes(columns.classes)
        if self._has_versions:
            self._add_versions(columns, heads)
        else:
            self._totals.count(columns.keys, columns.sizes, self._current(columns.created, heads))

    def _add_versions(self, columns: RecordColumns, heads: Integers) -> None:
        before = self._open
        if before is not None and columns.keys[0].as_py() != before.key:
            self._end_key(before)
            before = None
        groups = VersionGroups.of(columns, before.versions if before else None)
        totals, group = self._totals, groups.group
        ids = np.full(len(group), -1, np.int64)

        current, old = columns.current, columns.noncurrent
        ids[current] = self._current(columns.created[current], heads[current])
        joins = np.full(groups.last + 1, NEVER, np.int64)
        joins[0] = before.joins_on if before else NEVER
        joins[group[current]] = totals.hidden_on(ids[current])
        ids[old] = self._noncurrent(
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
                ids[row] = self._marker_outcome(*found, int(alone[group[row]]))
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
            index = self._marker_outcome(*ended.marker, ended.alone_from)
            self._totals.count(pa.array([ended.key]), np.zeros(1, np.int64), np.array([index]))

    def _marker(self, head: int, created: Days) -> tuple[tuple[int, ...], int | None]:
        """The rules that a current delete marker passes, and its age."""
        rule_set = head // _CLASSES // (self._marker_band + 1)
        (age,) = self._ages(created, self._oldest).tolist()
        return self._accepting(rule_set, self._marker_band), _age(age)

    def _marker_outcome(self, rules: tuple[int, ...], age: int | None, alone_from: int) -> int:
        known = (-1, *rules, -1, _EARLIEST_AGE - 1 if age is None else age, alone_from)
        index = self._memo.get(known)
        if index is None:
            alone = None if alone_from == NEVER else alone_from
            subject = Subject(State.MARKER, rules, age=age, alone_from=alone)
            index = self._memo[known] = self._new(subject, self._marker_band)
        return index

    def _current(self, created: Days, heads: Integers) -> Integers:
        """The outcomes of current objects."""
        codes, inverse = _distinct(heads * self._span + self._ages(created, self._oldest))
        ids = np.empty(len(codes), np.int64)
        for place, code in enumerate(codes.tolist()):
            index = self._memo.get((code,))
            if index is None:
                head, age = divmod(code, self._span)
                subject, band = self._subject(head, age)
                index = self._memo[code,] = self._new(subject, band)
            ids[place] = index
        return ids[inverse]

    def _noncurrent(
        self,
        heads: Integers,
        created: Days,
        since: Days,
        newer: Integers,
        joins: Integers,
    ) -> Integers:
        """The outcomes of noncurrent versions and delete markers."""
        # A version's own age matters only for the minimum duration of its class.
        minimum = [self._forecast.minimum_days.get(name, 0) for name in self._class_list]
        longest_stays = np.array(minimum, np.int64)[heads % _CLASSES] + 1
        stays, stay_of = _distinct(heads * self._span + self._ages(created, longest_stays))
        # Of the newer versions, only the bounds matter that they reach now, and that they reach
        # when the current version joins them.
        reached = np.searchsorted(self._newer_bounds, newer, side="right")
        reaches = np.searchsorted(self._newer_bounds, newer + 1, side="right") > reached
        joined = np.where(reaches & (joins != NEVER), joins + 1, 0)
        bounds, days = len(self._newer_bounds) + 1, int(joined.max(initial=0)) + 1
        times = self._ages(since, self._oldest_noncurrent) * bounds + reached
        codes, inverse = _distinct((stay_of * (self._span * bounds) + times) * days + joined)
        ids = np.empty(len(codes), np.int64)
        for place, code in enumerate(codes.tolist()):
            rest, join = divmod(code, days)
            stay, time = divmod(rest, self._span * bounds)
            known = (int(stays[stay]), time, join)
            index = self._memo.get(known)
            if index is None:
                index = self._memo[known] = self._new(*self._noncurrent_subject(*known))
            ids[place] = index
        return ids[inverse]

    def _noncurrent_subject(self, stay: int, time: int, join: int) -> tuple[Subject, int]:
        noncurrent_age, reached = divmod(time, len(self._newer_bounds) + 1)
        subject, band = self._subject(*divmod(stay, self._span))
        if join:
            newer = int(self._newer_bounds[reached]) - 1
        else:
            newer = int(self._newer_bounds[reached - 1]) if reached else 0
        is_marker = band == self._marker_band
        return replace(
            subject,
            state=State.NONCURRENT_MARKER if is_marker else State.NONCURRENT,
            noncurrent_age=_age(noncurrent_age),
            newer=newer,
            joined_on=join - 1 if join else None,
        ), band

    def _subject(self, head: int, age: int) -> tuple[Subject, int]:
        """A current object from the number of its rules, band and class, and that of its age."""
        rest, code = divmod(head, _CLASSES)
        rule_set, band = divmod(rest, self._marker_band + 1)
        is_small = band < self._marker_band and self._band_sizes[band] < DEFAULT_MINIMUM_BYTES
        return Subject(
            State.CURRENT,
            self._accepting(rule_set, band),
            self._class_list[code],
            is_small,
            _age(age),
        ), band

    def _new(self, subject: Subject, band: int) -> int:
        return self._totals.append(subject, band, self._forecast.outcome(subject))

    # -- what decides an outcome ----------------------------------------------------------------

    def _match(self, keys: pa.StringArray) -> Integers:
        """For each key, the number of the set of rules whose prefix it has."""
        first, last = keys[0].as_py(), keys[len(keys) - 1].as_py()
        parts: list[tuple[int, int, int]] = []
        for index, wanted in self._ranges.items():
            if last > wanted.after and first <= wanted.until:
                start, stop = (count_up_to(keys, bound) for bound in (wanted.after, wanted.until))
                parts.append((start, stop, index))
        bounds = sorted({0, len(keys), *(bound for each in parts for bound in each[:2])})
        result = np.empty(len(keys), np.int64)
        for start, stop in pairwise(bounds):
            matched = tuple(index for low, high, index in parts if low <= start and stop <= high)
            number = self._rule_sets.get(matched)
            if number is None:
                number = self._rule_sets[matched] = len(self._rule_set_list)
                self._rule_set_list.append(matched)
            result[start:stop] = number
        return result

    def _accepting(self, rule_set: int, band: int) -> tuple[int, ...]:
        """The rules of a set that accept the sizes of a band; delete markers have no size."""
        found = self._accepted.get((rule_set, band))
        if found is None:
            is_marker = band == self._marker_band
            matched = ((index, self._rules.rules[index]) for index in self._rule_set_list[rule_set])
            found = self._accepted[rule_set, band] = tuple(
                index
                for index, rule in matched
                if (
                    not rule.filters_by_size
                    if is_marker
                    else rule.accepts_size(self._band_sizes[band])
                )
            )
        return found

    def _bands_of(self, columns: RecordColumns) -> Integers:
        bands = np.searchsorted(self._thresholds, columns.sizes, side="right")
        bands[columns.is_marker] = self._marker_band
        return bands

    def _class_codes(self, classes: pa.StringArray) -> Integers:
        encoded = classes.dictionary_encode()
        codes = []
        for name in encoded.dictionary.to_pylist():
            if name not in self._classes:
                self._classes[name] = len(self._class_list)
                self._class_list.append(name)
            codes.append(self._classes[name])
        found: Integers = np.array(codes, np.int64)[encoded.indices.to_numpy()]
        return found

    def _ages(self, days: Days, oldest: int | Integers) -> Integers:
        """Ages as numbers from 0 up; `_age` is the inverse."""
        ages = np.clip(self._at_day - days.values, _EARLIEST_AGE, oldest) - _EARLIEST_AGE + 1
        return np.where(days.known, ages, 0)

    # -- results --------------------------------------------------------------------------------

    def result(self) -> LifecycleSimulation:
        """What the rules do to all records added."""
        if self._open is not None:
            self._end_key(self._open)
            self._open = None
        totals = self._totals
        effects: dict[Action, list[list[int]]] = {}
        matched = [[0, 0] for _ in self._rules.rules]
        records = [0, 0]
        disputes: dict[tuple[Action, Action], list[int]] = {}
        stored = Stored()
        for index, outcome in enumerate(totals.outcomes):
            objects, size = totals.of(index)
            if not objects:
                continue
            records[0] += objects
            records[1] += size
            subject = totals.subjects[index]
            for rule in subject.rules:
                matched[rule][0] += objects
                matched[rule][1] += size
            for event in outcome.events:
                tallies = effects.setdefault(event.action, [[0, 0] for _ in range(DAYS + 1)])
                tallies[min(event.day, DAYS)][0] += objects
                tallies[min(event.day, DAYS)][1] += size
            for pair in outcome.disputes:
                found = disputes.setdefault(pair, [0, 0])
                found[0] += objects
                found[1] += size
            if totals.bands[index] < self._marker_band:
                stored.add(subject, outcome, totals.bands[index], objects, size)
        return LifecycleSimulation(
            at=self._at,
            has_versions=self._has_versions,
            records=Tally(*records),
            undated=self._undated,
            rules=tuple(
                self._rule_effect(index, rule, Tally(*matched[index]), effects)
                for index, rule in enumerate(self._rules.rules)
            ),
            disputes=tuple(
                self._dispute(pair, *found)
                for pair, found in sorted(
                    disputes.items(), key=lambda each: (-each[1][1], -each[1][0], str(each[0]))
                )
            ),
            money=money_of(stored, self._prices),
        )

    def _rule_effect(
        self, index: int, rule: Rule, matched: Tally, effects: dict[Action, list[list[int]]]
    ) -> RuleEffect:
        found = sorted(
            ((action, tallies) for action, tallies in effects.items() if action.rule == index),
            key=lambda each: (list(ActionKind).index(each[0].kind), each[0].target),
        )
        actions = [
            ActionEffect(
                action.title,
                action.kind,
                action.target,
                tuple(Tally(*each) for each in tallies[:DAYS]),
                Tally(sum(each[0] for each in tallies), sum(each[1] for each in tallies)),
            )
            for action, tallies in found
        ]
        prefixes, others = self._totals.prefixes.of_rule(index)
        note = _note(rule, self._has_versions)
        return RuleEffect(rule, note, matched, tuple(actions), prefixes, others)

    def _dispute(self, pair: tuple[Action, Action], objects: int, size: int) -> Dispute:
        winner, loser = pair
        rules = self._rules.rules
        return Dispute(
            rules[winner.rule].id,
            winner.title,
            rules[loser.rule].id,
            loser.title,
            objects,
            size,
            tuple(self._totals.examples.get(pair, ())),
        )


def _note(rule: Rule, has_versions: bool) -> str:
    """Why a rule is simulated in part or not at all; "" if it is simulated."""
    if not rule.enabled:
        return "disabled"
    if rule.tags:
        return "unknown: filters by tag"
    notes = []
    if rule.abort_uploads_days is not None:
        notes.append("incomplete uploads are not in a listing")
    needs_versions = rule.noncurrent_transitions or rule.noncurrent_expiration
    if not has_versions and (needs_versions or (rule.expiration and rule.expiration.markers)):
        notes.append("versions were not listed")
    return "; ".join(notes)


def _noncurrent_actions(rule: Rule) -> list[Any]:
    end = rule.noncurrent_expiration
    return [*rule.noncurrent_transitions, *([end] if end else [])]


def _longest(rule: Rule) -> int:
    """The most days of any action of a rule."""
    end = rule.expiration
    return max(
        (
            *(move.days or 0 for move in rule.transitions),
            *(action.days for action in _noncurrent_actions(rule)),
            (end.days or 0) if end else 0,
        ),
        default=0,
    )


def _thresholds(rules: LifecycleRules, prices: Prices) -> set[int]:
    """The sizes at which rules or prices change."""
    found = {DEFAULT_MINIMUM_BYTES}
    for rule in rules.rules:
        if rule.greater_than is not None:
            found.add(rule.greater_than + 1)
        if rule.less_than is not None:
            found.add(rule.less_than)
    for each in prices.classes.values():
        found |= {each.minimum_billable_bytes, each.monitored_from_bytes}
    return {size for size in found if 0 < size < 2**62}


def _age(number: int) -> int | None:
    return None if number == 0 else number + _EARLIEST_AGE - 1


def _distinct(codes: Integers) -> tuple[Integers, Integers]:
    """The distinct codes, and the place of each row's code among them."""
    encoded = pa.array(codes).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
