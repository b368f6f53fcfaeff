from datetime import date, timedelta

import dagster as dg

from inventory_assets.config import Schedule, Source
from inventory_assets.defs.source.partitions import SourcePartitions
from inventory_assets_tests.assets.world import TODAY

SOURCE = Source(
    name="src", bucket="bucket", schedule=Schedule(start_date=TODAY - timedelta(days=3))
)
PARTITIONS = SourcePartitions.of(SOURCE)


def test_today_is_a_partition_while_it_lasts() -> None:
    keys = PARTITIONS.dates.get_partition_keys()
    assert keys[0] == str(TODAY - timedelta(days=3))
    assert str(TODAY) in keys[-2:]  # midnight may have passed


def test_a_partition_key_is_a_date_and_a_shard() -> None:
    key = PARTITIONS.key(date(2026, 5, 5), "a/b/")
    assert key == "2026-05-05|a/b/"
    assert PARTITIONS.split(key) == (date(2026, 5, 5), "a/b/")


def test_a_range_runs_from_the_first_shard_to_the_last_as_dagster_stores_them() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        shards = ["@remainder", "z/", "a/"]
        instance.add_dynamic_partitions(PARTITIONS.shards_name, shards)
        tags = PARTITIONS.range_tags(TODAY, shards)
        found = PARTITIONS.listing.get_partition_keys_in_range(
            dg.PartitionKeyRange(*tags.values()), dynamic_partitions_store=instance
        )
    assert set(found) == {f"{TODAY}|{shard}" for shard in shards}


def test_sources_have_shards_of_their_own() -> None:
    other = SourcePartitions.of(Source(name="other", bucket="bucket"))
    assert other.shards_name != PARTITIONS.shards_name
