from datetime import date, timedelta

import dagster as dg
import pytest

from inventory_assets.config import Retention, Schedule, Source
from inventory_assets.defs.source.partitions import (
    DEFAULT_HISTORY_DAYS,
    SourcePartitions,
    first_date,
)
from inventory_assets_tests.assets.world import TODAY

SOURCE = Source(
    name="src", bucket="bucket", schedule=Schedule(start_date=TODAY - timedelta(days=3))
)
PARTITIONS = SourcePartitions.of(SOURCE, TODAY)


def source_of(**fields: object) -> Source:
    return Source.model_validate({"name": "src", "bucket": "bucket", **fields})


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
    other = SourcePartitions.of(Source(name="other", bucket="bucket"), TODAY)
    assert other.shards_name != PARTITIONS.shards_name


@pytest.mark.parametrize("days", [2, 31, 90])
def test_shards_are_partitions_for_the_days_of_the_window(days: int) -> None:
    found = SourcePartitions.of(source_of(schedule=Schedule(listing_window_days=days)), TODAY)
    keys = found.listing.time_window_partitions_def.get_partition_keys()
    assert keys[:days] == [str(TODAY - timedelta(days=age)) for age in reversed(range(days))]
    assert len(keys) <= days + 1  # midnight may have passed


def test_dates_before_the_start_are_in_no_window() -> None:
    assert PARTITIONS.first_listed_date == PARTITIONS.first_date == TODAY - timedelta(days=3)


def test_the_history_begins_at_the_configured_date_however_long_ago() -> None:
    first = TODAY - timedelta(days=1_100)
    found = SourcePartitions.of(source_of(schedule=Schedule(start_date=first)), TODAY)
    assert found.dates.get_first_partition_key() == str(first)
    assert found.first_listed_date == TODAY - timedelta(days=30)


@pytest.mark.parametrize(
    ("retention", "days"), [({}, DEFAULT_HISTORY_DAYS), ({"keep_days": 90}, 90)]
)
def test_without_a_start_the_history_covers_what_is_kept_and_begins_on_a_monday(
    retention: dict[str, int], days: int
) -> None:
    source = source_of(retention=Retention(**retention))
    for later in range(14):
        today = TODAY + timedelta(days=later)
        first = first_date(source, today)
        assert first.weekday() == 0
        assert days <= (today - first).days + 1 < days + 7


def test_definitions_that_stay_loaded_add_dates_and_remove_none() -> None:
    loaded = SourcePartitions.of(source_of(), TODAY - timedelta(days=60))
    keys = loaded.listing.time_window_partitions_def.get_partition_keys()
    assert {str(TODAY - timedelta(days=age)) for age in range(31)} <= set(keys)
    assert keys[0] == str(TODAY - timedelta(days=90))
