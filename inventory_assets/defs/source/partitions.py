"""How a source's assets are partitioned: by date, and by shard of its key space."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import dagster as dg

from inventory_assets.config import Source

DATE = "date"
SHARD = "shard"


@dataclass(frozen=True, slots=True)
class SourcePartitions:
    """The partitions definitions of one source.

    Attributes:
        dates: Days in the source's time zone, today included.
        shards: The shards known so far, by partition key.
        listing: Date by shard.
    """

    dates: dg.DailyPartitionsDefinition
    shards: dg.DynamicPartitionsDefinition
    listing: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, source: Source) -> "SourcePartitions":
        """The definitions for a source's configuration."""
        start = datetime.combine(source.schedule.start_date, datetime.min.time())
        # With an offset of one, today is a partition already while it lasts.
        dates = dg.DailyPartitionsDefinition(
            start_date=start, timezone=source.schedule.timezone, end_offset=1
        )
        shards = dg.DynamicPartitionsDefinition(name=f"{source.name}_shards")
        listing = dg.MultiPartitionsDefinition({DATE: dates, SHARD: shards})
        return cls(dates, shards, listing)

    @property
    def shards_name(self) -> str:
        """The name under which Dagster stores the shards."""
        return str(self.shards.name)

    def key(self, day: date, shard_key: str) -> dg.MultiPartitionKey:
        """The partition key of a shard on a date."""
        return dg.MultiPartitionKey({DATE: day.isoformat(), SHARD: shard_key})

    def split(self, partition_key: str) -> tuple[date, str]:
        """The date and the shard's key of a partition key."""
        day, _, shard_key = partition_key.partition("|")
        return date.fromisoformat(day), shard_key

    def range_tags(self, day: date, shard_keys: Sequence[str]) -> dict[str, str]:
        """Run tags for one run over all shards of a date.

        Args:
            day: The date.
            shard_keys: The shards as Dagster stores them, in that order.
        """
        return {
            "dagster/asset_partition_range_start": self.key(day, shard_keys[0]),
            "dagster/asset_partition_range_end": self.key(day, shard_keys[-1]),
        }
