"""The tables `[sources.<name>.shards]` and `.schedule`: what is listed by itself, and when."""

import datetime as dt
import zoneinfo
from typing import Annotated

from pydantic import Field, field_validator

from inventory_assets.config.cron import is_cron
from inventory_assets.config.strict import StrictTable as _Table
from inventory_assets.config.wording import describe_value, suggestion

DEFAULT_CRON = "0 1 * * *"
MAX_RUNS = 64


class Shards(_Table):
    """How a source is divided into shards, each of which is a partition."""

    depth: Annotated[int, Field(ge=0, le=10)] = 1
    """Levels of the delimiter '/' to discover prefixes on; 0 lists the source as one shard."""
    max_shards: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Maximum number of shards; if there would be more, no new ones are added."""
    min_objects: Annotated[int, Field(ge=0)] = 0
    """A prefix with fewer objects in the last manifest gets no shard of its own."""
    split_objects: Annotated[int, Field(ge=1)] = 5_000_000
    """A prefix with more objects in the last manifest is split one level further."""
    retire_after_days: Annotated[int, Field(ge=0, le=36_500)] = 30
    """A shard that was empty for so many days is no partition any more; 0 keeps all shards."""
    shared: bool = False
    """Whether all runs that list a shard list it together; see docs/many-runs.md."""


class Schedule(_Table):
    """When a source is inventoried."""

    cron: str = DEFAULT_CRON
    """When the daily inventory starts: minute, hour, day of month, month, day of week."""
    timezone: str = "UTC"
    """The IANA time zone of `cron` and of the date partitions."""
    start_date: Annotated[dt.date | None, Field(examples=[dt.date(2026, 1, 1)])] = None
    """The first date partition; without it, as many dates as are kept, or a year of them."""
    listing_window_days: Annotated[int, Field(ge=2, le=36_500)] = 31
    """Number of days, including today, whose shards are partitions."""
    runs: Annotated[int, Field(ge=1, le=MAX_RUNS)] = 1
    """Maximum runs that list a date together, each a part of its shards; see docs/many-runs.md."""
    objects_per_run: Annotated[int | None, Field(ge=1, examples=[50_000_000])] = None
    """With it, no more runs start than the last manifest has so many objects for."""
    sensor_interval_seconds: Annotated[int, Field(ge=30)] = 300
    """Seconds between two searches for new prefixes."""

    @field_validator("cron")
    @classmethod
    def _cron_is_one_dagster_runs(cls, cron: str) -> str:
        if not is_cron(cron):
            raise ValueError(
                f"found {describe_value(cron)}, expected the five fields of cron: minute, hour, "
                f'day of month, month, day of week; write for example cron = "{DEFAULT_CRON}"'
            )
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone_is_known(cls, timezone: str) -> str:
        if timezone != "UTC" and timezone not in (known := zoneinfo.available_timezones()):
            remedy = suggestion(timezone, known) or 'write for example timezone = "UTC"'
            raise ValueError(
                f"found {describe_value(timezone)}, expected the name of an IANA time zone; "
                f"{remedy}"
            )
        return timezone


def estimated_partitions(shards: Shards, schedule: Schedule) -> int:
    """The maximum number of partitions by date and shard of a source."""
    prefixes = shards.max_shards if shards.depth else 0
    return schedule.listing_window_days * (prefixes + 1)  # the remainder is a shard, too
