"""Find each distinct outcome of records once, and look it up for all others."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.forecast import Forecast
from inventory_assets.inventory.lifecycle.outcome import State, Subject
from inventory_assets.inventory.lifecycle.outcome_totals import NEVER, OutcomeTotals
from inventory_assets.inventory.lifecycle.record_codes import (
    RecordCodes,
    age_of,
    noncurrent_actions,
)
from inventory_assets.inventory.lifecycle.record_columns import Days, Integers


class OutcomeLookup:
    """Outcomes of records, as indices in some totals.

    Args:
        forecast: Finds outcomes.
        codes: The codes of records.
        totals: Where new outcomes are added.
    """

    def __init__(self, forecast: Forecast, codes: RecordCodes, totals: OutcomeTotals) -> None:
        self._forecast = forecast
        self._codes = codes
        self._totals = totals
        newer = [
            action.newer for rule in forecast.rules.rules for action in noncurrent_actions(rule)
        ]
        self._newer_bounds = np.unique(newer).astype(np.int64)
        self._known: dict[tuple[int, ...], int] = {}

    def expect_versions(self) -> None:
        """From now on, expiration hides objects instead of deleting them."""
        self._forecast = replace(self._forecast, has_versions=True)

    def current(self, heads: Integers, created: Days) -> Integers:
        """The outcomes of current objects."""
        span = self._codes.age_codes
        codes, inverse = _distinct(heads * span + self._codes.ages(created, self._codes.oldest))
        ids = np.empty(len(codes), np.int64)
        for place, code in enumerate(codes.tolist()):
            index = self._known.get((code,))
            if index is None:
                index = self._known[code,] = self._new(*self._codes.subject(*divmod(code, span)))
            ids[place] = index
        return ids[inverse]

    def noncurrent(
        self,
        heads: Integers,
        created: Days,
        since: Days,
        newer: Integers,
        joins: Integers,
    ) -> Integers:
        """The outcomes of noncurrent versions and delete markers.

        Args:
            heads: Their heads.
            created: When they were created.
            since: When they became noncurrent.
            newer: The numbers of newer noncurrent versions of their keys, without delete markers.
            joins: The days on which the current versions of their keys become noncurrent, or
                `NEVER`.
        """
        span = self._codes.age_codes
        # A version's own age matters only for the minimum duration of its class.
        longest_stays = self._codes.minimum_stays(heads) + 1
        stays, stay_of = _distinct(heads * span + self._codes.ages(created, longest_stays))
        # Of the newer versions, only the bounds matter that they reach now, and that they reach
        # when the current version joins them.
        reached = np.searchsorted(self._newer_bounds, newer, side="right")
        reaches = np.searchsorted(self._newer_bounds, newer + 1, side="right") > reached
        joined = np.where(reaches & (joins != NEVER), joins + 1, 0)
        bounds, days = len(self._newer_bounds) + 1, int(joined.max(initial=0)) + 1
        times = self._codes.ages(since, self._codes.oldest_noncurrent) * bounds + reached
        codes, inverse = _distinct((stay_of * (span * bounds) + times) * days + joined)
        ids = np.empty(len(codes), np.int64)
        for place, code in enumerate(codes.tolist()):
            rest, join = divmod(code, days)
            stay, time = divmod(rest, span * bounds)
            known = (int(stays[stay]), time, join)
            index = self._known.get(known)
            if index is None:
                index = self._known[known] = self._new(*self._noncurrent_subject(*known))
            ids[place] = index
        return ids[inverse]

    def marker(self, rules: tuple[int, ...], age: int, alone_from: int) -> int:
        """The outcome of a current delete marker.

        Args:
            rules: The rules that it passes.
            age: The code of its age.
            alone_from: The first day on which it hides nothing, or `NEVER`.
        """
        known = (-1, *rules, -1, age, alone_from)
        index = self._known.get(known)
        if index is None:
            alone = None if alone_from == NEVER else alone_from
            subject = Subject(State.MARKER, rules, age=age_of(age), alone_from=alone)
            index = self._known[known] = self._new(subject, self._codes.marker_band)
        return index

    def _noncurrent_subject(self, stay: int, time: int, join: int) -> tuple[Subject, int]:
        noncurrent_age, reached = divmod(time, len(self._newer_bounds) + 1)
        subject, band = self._codes.subject(*divmod(stay, self._codes.age_codes))
        if join:
            newer = int(self._newer_bounds[reached]) - 1
        else:
            newer = int(self._newer_bounds[reached - 1]) if reached else 0
        is_marker = band == self._codes.marker_band
        return replace(
            subject,
            state=State.NONCURRENT_MARKER if is_marker else State.NONCURRENT,
            noncurrent_age=age_of(noncurrent_age),
            newer=newer,
            joined_on=join - 1 if join else None,
        ), band

    def _new(self, subject: Subject, band: int) -> int:
        return self._totals.append(subject, band, self._forecast.outcome(subject))


def _distinct(codes: Integers) -> tuple[Integers, Integers]:
    """The distinct codes, and the place of each row's code among them."""
    encoded = pa.array(codes).dictionary_encode()
    return encoded.dictionary.to_numpy(), encoded.indices.to_numpy()
