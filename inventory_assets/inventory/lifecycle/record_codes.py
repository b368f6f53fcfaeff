"""What decides the outcome of a record, as numbers, so that a batch can be grouped by it.

A head is one number for the rules that match a record, its band of sizes and its class. Within a
band, rules and prices treat all sizes alike; delete markers, which have no size, are a band of
their own. An age is a number from 0 up, where 0 is an unknown one.
"""

from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.outcome import State, Subject
from inventory_assets.inventory.lifecycle.record_columns import Days, Integers, RecordColumns
from inventory_assets.inventory.lifecycle.rules import (
    DEFAULT_MINIMUM_BYTES,
    LifecycleRules,
    NoncurrentExpiration,
    NoncurrentTransition,
    Rule,
)
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to

_EARLIEST_AGE = -40_000
"""Days; records from further in the future are treated as if from then."""
_CLASSES = 1 << 10
"""More classes than a store has."""
_OLDEST_AGE = 1_000_000
"""Days; more than any record has."""


class RecordCodes:
    """Encodes what decides outcomes, and decodes it.

    Args:
        rules: The rules.
        at: The first day.
        prices: The prices.

    Attributes:
        marker_band: The band of delete markers.
        minimum_days: The minimum duration of each class, in days.
        oldest: The age beyond which all is overdue, and no minimum duration is missed.
        oldest_noncurrent: Likewise, since a version became noncurrent.
        age_codes: The number of codes of ages.
    """

    def __init__(self, rules: LifecycleRules, at: date, prices: Prices) -> None:
        self._rules = rules
        self._at_day = (at - date(1970, 1, 1)).days
        self.minimum_days = {name: each.minimum_days for name, each in prices.classes.items()}
        if prices.unnamed_class:
            self.minimum_days[""] = self.minimum_days[prices.unnamed_class]
        longest = max(self.minimum_days.values(), default=0)
        self.oldest = min(max(longest, *map(_longest, rules.rules)) + 2, _OLDEST_AGE)
        actions = [action for rule in rules.rules for action in noncurrent_actions(rule)]
        self.oldest_noncurrent = min(
            max((action.days for action in actions), default=0) + 2, self.oldest
        )
        self.age_codes = self.oldest - _EARLIEST_AGE + 2
        self._thresholds = np.array(sorted(_thresholds(rules, prices)), np.int64)
        self._band_sizes = [0, *map(int, self._thresholds)]
        self.marker_band = len(self._band_sizes)
        self._ranges = {
            index: KeyRange.of_prefix(rule.prefix)
            for index, rule in enumerate(rules.rules)
            if rule.is_simulated
        }
        self._rule_sets: dict[tuple[int, ...], int] = {}
        self._rule_set_list: list[tuple[int, ...]] = []
        self._classes: dict[str, int] = {}
        self._class_list: list[str] = []
        self._accepted: dict[tuple[int, int], tuple[int, ...]] = {}

    # -- encoding -------------------------------------------------------------------------------

    def heads(self, columns: RecordColumns) -> Integers:
        """The head of each record."""
        heads = self._match(columns.keys) * (self.marker_band + 1) + self._bands_of(columns)
        return heads * _CLASSES + self._class_codes(columns.classes)

    def ages(self, days: Days, oldest: int | Integers) -> Integers:
        """The codes of ages; `age_of` is the inverse."""
        ages = np.clip(self._at_day - days.values, _EARLIEST_AGE, oldest) - _EARLIEST_AGE + 1
        return np.where(days.known, ages, 0)

    def minimum_stays(self, heads: Integers) -> Integers:
        """The minimum durations of the classes of heads, in days."""
        minimum = [self.minimum_days.get(name, 0) for name in self._class_list]
        return np.array(minimum, np.int64)[heads % _CLASSES]

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

    def _bands_of(self, columns: RecordColumns) -> Integers:
        bands = np.searchsorted(self._thresholds, columns.sizes, side="right")
        bands[columns.is_marker] = self.marker_band
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

    # -- decoding -------------------------------------------------------------------------------

    def subject(self, head: int, age: int) -> tuple[Subject, int]:
        """A current object with a head and the code of an age, and its band of sizes."""
        rest, code = divmod(head, _CLASSES)
        rule_set, band = divmod(rest, self.marker_band + 1)
        is_small = band < self.marker_band and self._band_sizes[band] < DEFAULT_MINIMUM_BYTES
        return Subject(
            State.CURRENT,
            self._accepting(rule_set, band),
            self._class_list[code],
            is_small,
            age_of(age),
        ), band

    def marker_rules(self, head: int) -> tuple[int, ...]:
        """The rules that a delete marker with a head passes."""
        rule_set = head // _CLASSES // (self.marker_band + 1)
        return self._accepting(rule_set, self.marker_band)

    def _accepting(self, rule_set: int, band: int) -> tuple[int, ...]:
        """The rules of a set that accept the sizes of a band; delete markers have no size."""
        found = self._accepted.get((rule_set, band))
        if found is None:
            is_marker = band == self.marker_band
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


def age_of(code: int) -> int | None:
    """The age of a code; None if unknown."""
    return None if code == 0 else code + _EARLIEST_AGE - 1


def noncurrent_actions(rule: Rule) -> list[NoncurrentTransition | NoncurrentExpiration]:
    """The actions of a rule on noncurrent versions."""
    end = rule.noncurrent_expiration
    return [*rule.noncurrent_transitions, *([end] if end else [])]


def _longest(rule: Rule) -> int:
    """The most days of any action of a rule."""
    end = rule.expiration
    return max(
        (
            *(move.days or 0 for move in rule.transitions),
            *(action.days for action in noncurrent_actions(rule)),
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
