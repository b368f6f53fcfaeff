"""`inventory demo`: inventory two days of the embedded bucket through Dagster.

As with Dagster's daemon, the schedule lists all shards, automation conditions request the other
assets, and on the second day the sensor finds a new prefix. Every run is in the Dagster history of
the project, so the UI shows it afterwards.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic

import dagster as dg

from inventory_assets.config import Config, load_config
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import Clock
from inventory_assets.errors import InventoryError, printable
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.store import Store
from inventory_assets.wiring import open_results, require_demo_packages

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_HISTORY = Path("data/.dagster")


class DemoFailed(InventoryError):
    """A run of the demo did not succeed."""


def run_demo(folder: Path) -> None:
    """Inventory the embedded bucket for yesterday and today, and print the results.

    Args:
        folder: The folder of `data/`; its `dagster.yaml` is used if there is one.

    Raises:
        DemoFailed: A run did not succeed.
        PackageMissing: The packages of the demo are not installed.
    """
    require_demo_packages()
    config = load_config(environ={}, path=None) if _is_demo() else None
    if config is None:
        raise DemoFailed(
            "the demo needs no configuration; run it without INVENTORY_CONFIG, in a folder "
            "without inventory.toml"
        )
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    print("Two days of an embedded S3 bucket (moto, on 127.0.0.1), inventoried through Dagster.")
    with _dagster_home(folder) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        an_hour_past = datetime.combine(yesterday, time(1, 5), UTC)
        _SimulatedDay(config, instance, yesterday, Clock(fixed=an_hour_past.isoformat())).run()
        _SimulatedDay(config, instance, today, Clock()).run()
    _print_result(config, yesterday, today)


def _is_demo() -> bool:
    return not os.environ.get("INVENTORY_CONFIG") and not Path("inventory.toml").exists()


@contextmanager
def _dagster_home(folder: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that `dagster dev` uses in `folder`, or a temporary one."""
    if not (folder / "dagster.yaml").is_file():
        with dg.DagsterInstance.local_temp() as instance:
            yield instance
        return
    (folder / _HISTORY).mkdir(parents=True, exist_ok=True)
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(folder)
    try:
        with dg.DagsterInstance.get() as instance:
            yield instance
    finally:
        if before is None:
            del os.environ["DAGSTER_HOME"]
        else:
            os.environ["DAGSTER_HOME"] = before


class _SimulatedDay:
    """Does what Dagster's daemon does in one day."""

    def __init__(
        self, config: Config, instance: dg.DagsterInstance, day: date, clock: Clock
    ) -> None:
        (source,) = config.sources.values()
        self._assets = SourceAssets(source)
        self._instance = instance
        self._day = day
        self._clock = clock
        self._definitions = build_definitions(config, clock)
        self._repository = self._definitions.get_repository_def()

    def run(self) -> None:
        print(f"\n{self._day}")
        evaluation = self._evaluate(None)
        if self._shard_keys():
            self._tick_sensor()
        else:
            self._run("discovery", "shards")
        self._tick_schedule()
        is_followed = True
        while is_followed:
            evaluation = self._evaluate(evaluation)
            is_followed = self._follow(evaluation)

    def _tick_sensor(self) -> None:
        """Search for new prefixes in one tick, and start their runs in the next."""
        sensor = self._repository.get_sensor_def(f"{self._assets.source.name}_new_prefixes")
        cursor: str | None = None
        for _ in range(2):
            with dg.build_sensor_context(
                instance_ref=self._instance.get_ref(),
                cursor=cursor,
                repository_def=self._repository,
                resources=self._resources(),
            ) as context:
                tick = sensor.evaluate_tick(context)
            cursor = tick.cursor
            if tick.skip_message:
                _say("sensor", tick.skip_message)
            for addition in tick.dynamic_partitions_requests or []:
                self._instance.add_dynamic_partitions(
                    addition.partitions_def_name, addition.partition_keys
                )
            for request in tick.run_requests or []:
                self._run("new prefix", "object_listing", partition_key=request.partition_key)

    def _tick_schedule(self) -> None:
        schedule = self._repository.get_schedule_def(f"{self._assets.source.name}_daily")
        midnight = datetime.combine(self._day, time(), UTC)
        with dg.build_schedule_context(
            self._instance, midnight, self._resources(), self._repository
        ) as context:
            tick = schedule.evaluate_tick(context)
        for request in tick.run_requests or []:
            self._run("schedule", "object_listing", tags=dict(request.tags))

    def _evaluate(
        self, previous: dg.EvaluateAutomationConditionsResult | None
    ) -> dg.EvaluateAutomationConditionsResult:
        return dg.evaluate_automation_conditions(
            self._definitions,
            self._instance,
            evaluation_time=self._clock.now(),
            cursor=previous.cursor if previous else None,
        )

    def _follow(self, evaluation: dg.EvaluateAutomationConditionsResult) -> bool:
        """Materialize what automation requests; whether it requests anything.

        Assets of the same partitions have one run, as with the daemon.
        """
        by_partitions: dict[frozenset[str], list[str]] = {}
        for key in sorted(spec.key for spec in self._definitions.resolve_all_asset_specs()):
            requested = frozenset(filter(None, evaluation.get_requested_partitions(key)))
            if requested:
                by_partitions.setdefault(requested, []).append(key.path[-1])
        for partition_keys, names in by_partitions.items():
            if len(partition_keys) == 1:
                self._run("automation", *names, partition_key=min(partition_keys))
            else:
                tags = self._assets.partitions.range_tags(self._day, self._shard_keys())
                self._run("automation", *names, tags=tags)
        return bool(by_partitions)

    def _run(
        self,
        why: str,
        *names: str,
        partition_key: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        started = monotonic()
        job = self._definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            instance=self._instance,
            asset_selection=[self._assets.key(name) for name in names],
            partition_key=partition_key,
            tags=tags,
            run_config=_QUIET,
            raise_on_error=False,
        )
        events = result.get_asset_materialization_events()
        of_what = printable(partition_key or "") or f"{len(events)} partitions"
        if names == ("shards",):
            of_what = f"{len(self._shard_keys())} found"
        made = ", ".join(names)
        _say(why, f"{made}: {of_what} in {monotonic() - started:.1f} s")
        if not result.success:
            failures = [event.message for event in result.all_events if event.is_step_failure]
            raise DemoFailed(f"{made} failed: {'; '.join(m or '' for m in failures)}")

    def _shard_keys(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions(self._assets.partitions.shards_name))

    def _resources(self) -> dict[str, object]:
        wanted = self._assets.resource_keys
        return {
            key: value
            for key, value in (self._definitions.resources or {}).items()
            if key in wanted
        }


def _say(why: str, what: str) -> None:
    print(f"  {why:<12} {what}")


def _print_result(config: Config, yesterday: date, today: date) -> None:
    (source,) = config.sources.values()
    assets = SourceAssets(source)
    store = open_results(config.store)
    print("\nInventory          objects            bytes   shards   parts   requests")
    manifests = [_published(store, assets, day) for day in (yesterday, today)]
    for manifest in manifests:
        requests = sum(entry.requests for entry in manifest.shards)
        print(
            f"{manifest.day}   {manifest.rows:>13,}   {manifest.object_bytes:>14,}   "
            f"{len(manifest.shards):>6}   {len(manifest.parts):>5}   {requests:>8}"
        )
    print(f"\nChanges since {yesterday}")
    for change, count in _changes(store, assets, today).items():
        print(f"  {change:<13} {count:>6,}")
    _print_readers(store, assets, today)


def _published(store: Store, assets: SourceAssets, day: date) -> Manifest:
    manifest = read_manifest(store, assets.layout, day)
    if manifest is None:
        raise DemoFailed(f"the manifest of {day} was not published")
    return manifest


def _changes(store: Store, assets: SourceAssets, day: date) -> Mapping[Change, int]:
    log = read_change_log(store, assets.layout, day)
    if log is None:
        raise DemoFailed(f"the change log of {day} was not published")
    return log.counts


def _print_readers(store: Store, assets: SourceAssets, day: date) -> None:
    here = Path.cwd()

    def short(place: str) -> Path:
        path = Path(place)
        return path.relative_to(here) if path.is_relative_to(here) else path

    symlink = short(store.where(assets.layout.symlink(day)))
    changes = short(store.where(assets.layout.change_log_symlink(day)))
    manifest = short(store.where(assets.layout.s3_manifest(day)))
    python = short(sys.executable)
    # Paths consist of validated names, and this text is printed, not executed.
    readers = f"""
manifest   {manifest}
files      {symlink}
changes    {changes}

Read it with Polars:
  {python} -c "import polars as pl; print(pl.scan_parquet(open('{symlink}').read().splitlines())\
.group_by('storage_class').agg(pl.len(), pl.sum('size')).collect())"
with DuckDB:
  {python} -c "import duckdb; print(duckdb.read_parquet(open('{changes}').read().splitlines())\
.aggregate('change, count(*) AS keys').order('change'))"
or look at it in the Dagster UI: make dev"""
    print(readers)
