"""What the alert sensor keeps of the situations of a source."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from inventory_assets.alerts.situation import Situation

FOLLOWED = timedelta(days=7)
"""How long a failed run or a late date is followed; then it is forgotten without a message."""


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The last failed run of the same work.

    Attributes:
        run_id: The run.
        failed_at: When it failed, as a Unix time.
        day: The date of its partitions; "" for none.
        is_of_listing: Whether a publication of the date ends it.
        manifest_etag: The ETag of the date's `inventory.json` when the failure was seen; None
            while the store could not be read.
        text: What happened.
    """

    run_id: str
    failed_at: float
    day: str
    is_of_listing: bool
    manifest_etag: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a sensor keeps of the situations from tick to tick.

    Attributes:
        since: When the sensor looked first, by the source's clock; what was late before is not
            told.
        first_run: The same by the clock of Dagster's runs; what failed before is not told.
        runs_until: When the last run that was looked at ended.
        handled: When the runs ended that were looked at shortly before, by run.
        failed: The failed runs that no later run has made up for, by the key of their work.
        late: The late dates.
        late_until: Until when the schedule was looked at for late dates, by the source's clock.
        odd_of: The identity of the usage in which the oddities were found.
        odd: The oddities of the newest date.
    """

    since: float
    first_run: float
    runs_until: float
    handled: Mapping[str, float] = field(default_factory=dict)
    failed: Mapping[str, FailedRun] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    late_until: float = 0.0
    odd_of: str = ""
    odd: tuple[Situation, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """A look at a source.

    Attributes:
        now: What is wrong.
        ended: Sentences about the end of situations, by key.
        seen: What to keep for the next look.
    """

    now: tuple[Situation, ...]
    ended: Mapping[str, str]
    seen: Seen
