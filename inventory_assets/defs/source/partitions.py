"""The partitions definitions of a source: by date, and by date and shard.

A listing can be made for today and yesterday only, so partitions by date and shard have a short
window of dates, and partitions by date alone have the history. Both windows are computed from the
day on which the definitions are loaded. Until they are loaded again, dates are added and none is
removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import dagster as dg

from inventory_assets.config import Source

DATE = "date"
SHARD = "shard"

PARTITION_TAGS = (
    "dagster/partition",
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
)
"""The tags of a run that name its partition, or the first and last of its partitions."""

RUN_OF_DATE_TAG = "inventory_assets/run_of_date"
"""The tag of a run that lists a part of the shards of a date, while others list the rest, such as
`2 of 4`."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""The statuses of runs that are queued or in progress."""

DEFAULT_HISTORY_DAYS = 366
"""Minimum dates of a source without `start_date` and `keep_days`."""


@dataclass(frozen=True, slots=True)
class SourcePartitions:
    """The partitions definitions of one source.

    Attributes:
        dates: The days of the history in the source's time zone, today included.
        shards: The known shards, by partition key.
        listing: The days of the window by shard.
    """

    dates: dg.DailyPartitionsDefinition
    shards: dg.DynamicPartitionsDefinition
    listing: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, source: Source, today: date) -> "SourcePartitions":
        """The definitions of a source, loaded on `today`."""
        timezone = source.schedule.timezone
        first = first_date(source, today)
        shards = dg.DynamicPartitionsDefinition(name=f"{source.name}_shards")
        window = _days_from(first_listed_date(source, today), timezone)
        listing = dg.MultiPartitionsDefinition({DATE: window, SHARD: shards})
        return cls(_days_from(first, timezone), shards, listing)

    @property
    def first_date(self) -> date:
        """The first date of the history."""
        return self.dates.start.date()

    @property
    def first_listed_date(self) -> date:
        """The first date whose shards are partitions."""
        return self.listing.time_window_partitions_def.start.date()

    @property
    def shards_name(self) -> str:
        """The name of the dynamic partitions of shards."""
        return str(self.shards.name)

    def key(self, day: date, shard_key: str) -> dg.MultiPartitionKey:
        """The partition key of a date and shard."""
        return dg.MultiPartitionKey({DATE: day.isoformat(), SHARD: shard_key})

    def split(self, partition_key: str) -> tuple[date, str]:
        """Split a partition key into date and shard key."""
        day, _, shard_key = partition_key.partition("|")
        return date.fromisoformat(day), shard_key

    def range_tags(self, day: date, shard_keys: Sequence[str]) -> dict[str, str]:
        """The tags of a run over all shards of a date.

        Args:
            day: The date.
            shard_keys: The shards, in Dagster's order.
        """
        return {
            "dagster/asset_partition_range_start": self.key(day, shard_keys[0]),
            "dagster/asset_partition_range_end": self.key(day, shard_keys[-1]),
        }


def first_date(source: Source, today: date) -> date:
    """The first date partition of a source.

    Without `start_date`, it is a Monday: Dagster forgets what its automation conditions have seen
    when a definition changes, and so the first date moves once a week at most.
    """
    if source.schedule.start_date is not None:
        return source.schedule.start_date
    days = source.retention.keep_days or DEFAULT_HISTORY_DAYS
    earliest = today - timedelta(days=days - 1)
    return earliest - timedelta(days=earliest.weekday())


def first_listed_date(source: Source, today: date) -> date:
    """The first date of a source whose shards are partitions."""
    window = today - timedelta(days=source.schedule.listing_window_days - 1)
    return max(first_date(source, today), window)


def _days_from(first: date, timezone: str) -> dg.DailyPartitionsDefinition:
    start = datetime.combine(first, datetime.min.time())
    # With an offset of 1, today is a partition, too.
    return dg.DailyPartitionsDefinition(start_date=start, timezone=timezone, end_offset=1)
