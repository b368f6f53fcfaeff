"""The partitions definitions of a source: by date, and by date and shard."""

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
        shards: The known shards, by partition key.
        listing: Date by shard.
    """

    dates: dg.DailyPartitionsDefinition
    shards: dg.DynamicPartitionsDefinition
    listing: dg.MultiPartitionsDefinition

    @classmethod
    def of(cls, source: Source) -> "SourcePartitions":
        """The definitions of a source."""
        start = datetime.combine(source.schedule.start_date, datetime.min.time())
        # With an offset of 1, today is a partition, too.
        dates = dg.DailyPartitionsDefinition(
            start_date=start, timezone=source.schedule.timezone, end_offset=1
        )
        shards = dg.DynamicPartitionsDefinition(name=f"{source.name}_shards")
        listing = dg.MultiPartitionsDefinition({DATE: dates, SHARD: shards})
        return cls(dates, shards, listing)

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
