"""The source of the benchmark of years: its configuration, and a day of it by real runs."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import dagster as dg

from benchmarks.dagster_overhead import QUIET, StubBucket
from inventory_assets.config import Config, Retention, Schedule, Shards, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import Clock

NAME = "years"
BY_DATE = ("inventory_manifest", "change_log", "prefix_usage", "hygiene_report", "storage_report")
"""The assets by date, in the order in which automation makes them."""


@dataclass(frozen=True)
class Simulated:
    """A source, and the folder of its store and configuration.

    Attributes:
        folder: The folder, which is DAGSTER_HOME too.
        shards: The number of its shards, besides the remainder.
        days: The number of days, today included.
        today: The last day.
        window: The days that the assets by shard have partitions for.
    """

    folder: Path
    shards: int
    days: int
    today: date
    window: int

    @cached_property
    def source(self) -> Source:
        """The source, with a history as long as all days."""
        return Source(
            name=NAME,
            bucket=NAME,
            endpoint_url="http://127.0.0.1:9",
            shards=Shards(depth=1, max_shards=max(256, self.shards)),
            schedule=Schedule(
                start_date=self.today - timedelta(days=self.days - 1),
                listing_window_days=self.window,
            ),
            retention=Retention(keep_days=self.days),
        )

    @cached_property
    def assets(self) -> SourceAssets:
        """What its definitions share."""
        return SourceAssets(self.source)

    def configure(self) -> None:
        """Write `inventory.toml` and the project's files for Dagster into the folder."""
        project = Path(__file__).parents[1]
        shutil.copy(project / "workspace.yaml", self.folder)
        text = (project / "dagster.yaml").read_text()
        text = text.replace("base_dir: data", f"base_dir: {self.folder}/data")
        self.folder.joinpath("dagster.yaml").write_text(text)
        self.folder.joinpath("inventory.toml").write_text(
            f"""[sources.{NAME}]
bucket = "{NAME}"
endpoint_url = "http://127.0.0.1:9"
shards.depth = 1
shards.max_shards = {max(256, self.shards)}
schedule.start_date = {self.today - timedelta(days=self.days - 1)}
schedule.listing_window_days = {self.window}
retention.keep_days = {self.days}
"""
        )

    def live_a_day(self, instance: dg.DagsterInstance, day: date) -> None:
        """List, compare and merge a day, and collect, by runs as schedules and automation do."""
        clock = Clock(fixed=datetime.combine(day, datetime.min.time(), UTC).isoformat())
        config = Config(
            store=self.folder / "data" / "inventory", sources={self.source.name: self.source}
        )
        definitions = build_definitions(config, clock)
        bucket = StubBucket(bucket=NAME, shards=self.shards)
        definitions = dg.Definitions(
            assets=definitions.assets,
            jobs=definitions.jobs,
            schedules=definitions.schedules,
            resources={**(definitions.resources or {}), self.assets.bucket_resource: bucket},
            executor=dg.in_process_executor,
        )
        assets = self.assets
        if not instance.get_dynamic_partitions(assets.partitions.shards_name):
            self._run(definitions, instance, "__ASSET_JOB", {}, ("shards",))
        keys = list(instance.get_dynamic_partitions(assets.partitions.shards_name))
        of_shards = assets.partitions.range_tags(day, keys)
        of_date = {"dagster/partition": day.isoformat()}
        find = {FIND_SHARDS_TAG: "true"}
        self._run(definitions, instance, assets.listing_job, {**of_shards, **find})
        self._run(definitions, instance, "__ASSET_JOB", of_shards, ("object_changes",))
        for name in BY_DATE:
            self._run(definitions, instance, "__ASSET_JOB", of_date, (name,))
        self._run(definitions, instance, f"{NAME}_collect_garbage", {})

    def _run(
        self,
        definitions: dg.Definitions,
        instance: dg.DagsterInstance,
        job_name: str,
        tags: Mapping[str, str],
        names: Sequence[str] = (),
    ) -> None:
        job = (
            definitions.resolve_implicit_global_asset_job_def()
            if names
            else definitions.resolve_job_def(job_name)
        )
        job.execute_in_process(
            instance=instance,
            run_config=QUIET,
            tags=dict(tags),
            asset_selection=[self.assets.key(name) for name in names] or None,
        )
