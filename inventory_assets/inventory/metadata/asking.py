"""Decide for which objects a bucket is asked: those without an answer, or worth asking again."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.object_answer import ObjectError

_PASSING = [ObjectError.MISSING.value, ObjectError.CHANGED.value, ObjectError.FAILED.value]
"""Errors that the next date may not have."""

LASTING_ERRORS = [
    ObjectError.FORBIDDEN.value,
    ObjectError.ARCHIVED.value,
    ObjectError.REFUSED.value,
]
"""Errors that only a change of permissions, or a restoration, mends."""

_SETTLES_WITHIN = timedelta(days=7)
"""How long after its creation an object that waits for replication is asked for again."""

_HOUR = 3_600_000

Flags = npt.NDArray[np.bool_]
Hours = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class AskRule:
    """What makes an answer worth asking again.

    Attributes:
        day: The date for which is asked.
        with_tags: Whether tags are wanted.
        errors_again: Whether also those errors are asked again that only a change of permissions
            mends.
    """

    day: date
    with_tags: bool
    errors_again: bool = False

    def unanswered(self, rows: pa.Table) -> Flags:
        """Flags of the rows without an answer, or with one that is to be asked for again."""
        flags = pc.is_null(rows.column("fetched_at"))
        return _numpy(pc.or_(flags, self._again(rows)))

    def again(self, rows: pa.Table) -> int:
        """How many answers of this date are to be asked for again on the next one."""
        return int(pc.sum(self._again(rows)).as_py() or 0)

    def _again(self, rows: pa.Table) -> pa.ChunkedArray:
        error = rows.column("error")
        passing = pc.is_in(error, value_set=pa.array(_PASSING))
        since = datetime.combine(self.day, time(), UTC) - _SETTLES_WITHIN
        is_young = pc.greater(
            rows.column("last_modified_date"), pa.scalar(since, pa.timestamp("ms", tz="UTC"))
        )
        is_pending = pc.equal(rows.column("replication_status"), "PENDING")
        flags = [
            passing,
            pc.and_(is_pending, is_young),
            rows.column("is_restore_in_progress"),
        ]
        if self.with_tags:
            is_answered = pc.and_(pc.is_null(error), pc.is_valid(rows.column("fetched_at")))
            flags.append(pc.and_(pc.is_null(rows.column("object_tags")), is_answered))
        if self.errors_again:
            flags.append(pc.is_valid(error))
        found = pc.fill_null(flags[0], False)
        for each in flags[1:]:
            found = pc.or_(found, pc.fill_null(each, False))
        return found


def hours_of(rows: pa.Table) -> Hours:
    """The hour of LastModified of each row, since 1970; -1 without one."""
    times = rows.column("last_modified_date").cast(pa.int64())
    hours: Hours = pc.fill_null(times, -1).to_numpy() // _HOUR
    return hours


class RequestBudget:
    """Limits the requests of a run; newer objects are asked for first.

    Args:
        limit: Maximum requests; None for no limit.
        per_object: Requests that an object takes.

    Attributes:
        left: The objects that were not asked for.
        limit: As given.
    """

    def __init__(self, limit: int | None, per_object: int) -> None:
        self.limit = limit
        self.left = 0
        self._per_object = per_object
        self._remaining = limit or 0
        self._first_hour = -(2**62)
        self._of_first_hour = 0

    def plan(self, unanswered: Mapping[int, int]) -> None:
        """Choose the objects, to the hour of their LastModified.

        Args:
            unanswered: How many objects are to be asked for, by hour, over all shards of the run.
        """
        if self.limit is None:
            return
        room = self._remaining // self._per_object
        for hour in sorted(unanswered, reverse=True):
            if unanswered[hour] > room:
                # Of this hour, the first by key; of earlier ones, none.
                self._first_hour, self._of_first_hour = hour, room
                return
            room -= unanswered[hour]

    def chosen(self, hours: Hours) -> Flags:
        """Flags of the objects that may be asked for; their requests count as sent.

        Args:
            hours: The hours of the objects that are to be asked for.
        """
        if self.limit is None:
            return np.ones(len(hours), np.bool_)
        flags: Flags = hours > self._first_hour
        edge = np.flatnonzero(hours == self._first_hour)[: self._of_first_hour]
        self._of_first_hour -= len(edge)
        flags[edge] = True
        # Repeated requests may have used what the plan has left for others.
        flags[np.flatnonzero(flags)[max(0, self._remaining // self._per_object) :]] = False
        count = int(np.count_nonzero(flags))
        self._remaining -= count * self._per_object
        self.left += len(hours) - count
        return flags

    def charge(self, requests: int) -> None:
        """Record requests that were not for a chosen object."""
        self._remaining -= requests

    def spent(self, requests: int) -> None:
        """Record the requests that an object took."""
        self._remaining -= requests - self._per_object


def by_hour(hours: Hours) -> Counter[int]:
    """How many objects there are by hour."""
    found, counts = np.unique(hours, return_counts=True)
    return Counter(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def _numpy(flags: pa.ChunkedArray | pa.Array) -> Flags:
    found: Flags = (
        flags.to_numpy(zero_copy_only=False) if isinstance(flags, pa.Array) else (flags.to_numpy())
    )
    return found.astype(np.bool_)
