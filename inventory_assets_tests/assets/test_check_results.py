"""The collection deletes old results of checks that passed, and no others."""

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Schedule
from inventory_assets_tests.assets.test_expired_runs import collect
from inventory_assets_tests.assets.world import QUIET, TODAY, YESTERDAY, World

WINDOW_DAYS = 31
CHECK = "shards_cover_source"


def dates_with_results(world: World, asset: str = "inventory_manifest") -> set[str]:
    key = dg.AssetCheckKey(world.assets.key(asset), CHECK)
    history = world.instance.event_log_storage.get_asset_check_execution_history(key, 100)
    return {str(each.partition) for each in history}


def report(world: World, day: date, *passed: bool) -> None:
    """Report results of a check for a date, one after the other, each in a run."""
    for each in passed:
        result = dg.AssetCheckEvaluation(
            asset_key=world.assets.key("inventory_manifest"),
            check_name=CHECK,
            passed=each,
            metadata={},
            partition=str(day),
        )
        execute(world.instance, result)


def execute(instance: dg.DagsterInstance, result: dg.AssetCheckEvaluation) -> None:
    @dg.op
    def check(context: dg.OpExecutionContext) -> None:
        event: Any = result
        context.log_event(event)

    @dg.job
    def checking() -> None:
        check()

    assert checking.execute_in_process(instance=instance, run_config=QUIET).success


def test_results_that_passed_are_deleted_when_their_date_leaves_the_window(world: World) -> None:
    world.pass_day(YESTERDAY)
    world.pass_day(TODAY)
    collect(world, WINDOW_DAYS - 2)
    assert dates_with_results(world) == {str(YESTERDAY), str(TODAY)}
    collect(world, WINDOW_DAYS - 1, dry_run=True)
    assert dates_with_results(world) == {str(YESTERDAY), str(TODAY)}
    collect(world, WINDOW_DAYS - 1)
    assert dates_with_results(world) == {str(TODAY)}
    manifests = world.instance.get_materialized_partitions(world.assets.key("inventory_manifest"))
    assert manifests == {str(YESTERDAY), str(TODAY)}, "the dates stay materialized"


@pytest.mark.parametrize(
    ("results", "is_kept"), [((False, True), False), ((True, False), True), ((False,), True)]
)
def test_the_last_result_of_a_date_decides(
    world: World, results: tuple[bool, ...], is_kept: bool
) -> None:
    report(world, YESTERDAY, *results)
    collect(world, WINDOW_DAYS + 9)
    assert (str(YESTERDAY) in dates_with_results(world)) is is_kept


def test_results_of_dates_that_automation_follows_are_kept_with_the_shortest_window(
    world: World,
) -> None:
    fields = {"schedule": Schedule(start_date=YESTERDAY, listing_window_days=2)}
    world = World(world.store.root.parent, world.instance, {"bucket": "memory", **fields})
    assert world.day - timedelta(days=1) == YESTERDAY
    report(world, YESTERDAY, True)
    collect(world, 0)
    assert dates_with_results(world) == {str(YESTERDAY)}
    collect(world, 1)
    assert dates_with_results(world) == set()


def test_results_of_other_sources_stay(world: World) -> None:
    fields = {**world.source.model_dump(), "name": "second"}
    second = World(world.store.root.parent, world.instance, fields)
    report(second, YESTERDAY, True)
    report(world, YESTERDAY, True)
    collect(world, WINDOW_DAYS + 9)
    assert dates_with_results(second) == {str(YESTERDAY)}
    assert dates_with_results(world) == set()
