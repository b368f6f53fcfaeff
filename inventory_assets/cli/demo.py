"""`inventory demo`: inventory ten days of the embedded bucket through Dagster.

As with Dagster's daemon, the schedule lists all shards, automation conditions request the other
assets, and from the second day on the sensor finds a new prefix. Every run is in the Dagster
history of the project, so the UI shows it afterwards.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import monotonic

import dagster as dg

from inventory_assets.cli.demo_result import DemoFailed, print_result
from inventory_assets.config import DEMO_DATES, Config, load_config
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import Clock
from inventory_assets.errors import printable
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.wiring.results import open_results
from inventory_assets.wiring.source_access import require_demo_packages

DATES_IN_DETAIL = 2
"""The newest dates, of which each run is printed."""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_HISTORY = Path("data/.dagster")


def run_demo(folder: Path) -> None:
    """Inventory the embedded bucket for each of the last days, and print the results.

    A date before today that has a report is left as it is.

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
    days = [today - timedelta(days=age) for age in reversed(range(DEMO_DATES))]
    print(
        f"{DEMO_DATES} days of an embedded S3 bucket (moto, on 127.0.0.1), inventoried through "
        "Dagster.\n"
    )
    (source,) = config.sources.values()
    assets, store = SourceAssets(source), open_results(config.store)
    with _dagster_home(folder) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        for day in days:
            if day < today and _has_report(store, assets.layout, day):
                print(f"{day}   has a report already")
                continue
            at = datetime.combine(day, time(1, 5), UTC).isoformat() if day < today else None
            is_detailed = today - day < timedelta(days=DATES_IN_DETAIL)
            _SimulatedDay(config, instance, day, Clock(fixed=at), is_detailed=is_detailed).run()
    print_result(assets, store, days)


def _has_report(store: Store, layout: Layout, day: date) -> bool:
    return store.size(layout.report(day)) is not None


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
        self,
        config: Config,
        instance: dg.DagsterInstance,
        day: date,
        clock: Clock,
        *,
        is_detailed: bool,
    ) -> None:
        (source,) = config.sources.values()
        self._assets = SourceAssets(source)
        self._instance = instance
        self._day = day
        self._clock = clock
        self._is_detailed = is_detailed
        self._runs = 0
        self._definitions = build_definitions(config, clock)
        self._repository = self._definitions.get_repository_def()

    def run(self) -> None:
        started = monotonic()
        if self._is_detailed:
            print(f"\n{self._day}")
        before = self._evaluate(None)
        if not self._shard_keys():
            self._run("discovery", "shards")
        elif self._is_detailed:
            self._tick_sensor()  # on other days, the run of the schedule finds the new prefix
        self._tick_schedule()
        self._follow_automation(before)
        if not self._is_detailed:
            shards, seconds = len(self._shard_keys()), monotonic() - started
            print(f"{self._day}   {shards} shards, {self._runs} runs in {seconds:.1f} s")

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
                self._say("sensor", tick.skip_message)
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

    # The quotes are there because the oldest supported Dagster does not export this type.
    def _follow_automation(self, evaluation: "dg.EvaluateAutomationConditionsResult") -> None:
        """Evaluate the automation conditions, and run what they request, until that is nothing."""
        keys = self._definitions.resolve_asset_graph().toposorted_asset_keys
        while True:
            evaluation = self._evaluate(evaluation)
            names: dict[tuple[str, ...], list[str]] = {}  # by partitions; the daemon starts a run
            for key in keys:
                requested = sorted(filter(None, evaluation.get_requested_partitions(key)))
                names.setdefault(tuple(requested), []).append(key.path[-1])
            names.pop((), None)
            if not names:
                return
            for partition_keys, of_run in names.items():
                self._materialize(partition_keys, of_run)

    def _evaluate(
        self, previous: "dg.EvaluateAutomationConditionsResult | None"
    ) -> "dg.EvaluateAutomationConditionsResult":
        return dg.evaluate_automation_conditions(
            self._definitions,
            self._instance,
            evaluation_time=self._clock.now(),
            cursor=previous.cursor if previous else None,
        )

    def _materialize(self, partition_keys: Sequence[str], names: Sequence[str]) -> None:
        if len(partition_keys) == 1:
            self._run("automation", *names, partition_key=partition_keys[0])
        else:
            tags = self._assets.partitions.range_tags(self._day, self._shard_keys())
            self._run("automation", *names, tags=tags)

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
        what = ", ".join(names)
        self._runs += 1
        self._say(why, f"{what}: {of_what} in {monotonic() - started:.1f} s")
        if not result.success:
            failures = [event.message for event in result.all_events if event.is_step_failure]
            raise DemoFailed(f"{what} failed: {'; '.join(m or '' for m in failures)}")

    def _shard_keys(self) -> list[str]:
        return list(self._instance.get_dynamic_partitions(self._assets.partitions.shards_name))

    def _resources(self) -> dict[str, object]:
        wanted = self._assets.resource_keys
        return {
            key: value
            for key, value in (self._definitions.resources or {}).items()
            if key in wanted
        }

    def _say(self, why: str, what: str) -> None:
        if self._is_detailed:
            print(f"  {why:<12} {what}")
