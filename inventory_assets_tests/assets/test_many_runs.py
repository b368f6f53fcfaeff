"""A date that several runs list together is that of one run, whatever happens to one of them."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from inventory_assets.config import Budget, Schedule, Shards
from inventory_assets.defs.assets.listing import FIND_SHARDS_TAG
from inventory_assets.defs.source.partitions import RUN_OF_DATE_TAG
from inventory_assets.defs.source.planned_code import FINGERPRINT_TAG
from inventory_assets.defs.source.pools import pool_mistake, pool_of
from inventory_assets.defs.source.request_share import REQUESTS_OF_TAG, REQUESTS_TAG
from inventory_assets.defs.source.terminated_listing import listing_was_terminated
from inventory_assets.inventory.errors import StoreError
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.usage import part_usage as part_usage_module
from inventory_assets_tests.assets.world import (
    REMAINDER,
    TODAY,
    YESTERDAY,
    Buckets,
    Outcome,
    World,
    failure_text,
    materializations,
)

KEYS = {"a/1", "a/2", "b/1", "c/1", "c/2", "d/1", "root"}
PARTS = [[REMAINDER, "a/"], ["b/", "c/"], ["d/"]]
"""The shards of each of three runs."""


def schedule(runs: int) -> Schedule:
    return Schedule(runs=runs, start_date=TODAY - timedelta(days=9))


@pytest.fixture
def world(tmp_path: Path, buckets: Buckets) -> Iterator[World]:
    buckets.keys["memory"] = set(KEYS)
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(tmp_path, instance, {"bucket": "memory", "schedule": schedule(3)})
        world.discover()
        yield world


def tags_of(world: World, number: int, *, of: int = 3) -> dict[str, str]:
    """The tags of one run of the day, as the schedule plans them."""
    tags = world.assets.partitions.range_tags(world.day, PARTS[number - 1])
    searches = {FIND_SHARDS_TAG: "true"} if number == 1 else {}
    return {**tags, **searches, RUN_OF_DATE_TAG: f"{number} of {of}"}


def list_part(world: World, number: int) -> Outcome:
    return world.run("object_listing", tags=tags_of(world, number))


def manifest_of(world: World, day: date) -> Manifest:
    manifest = read_manifest(world.store, world.layout, day)
    assert manifest is not None
    return manifest


def test_three_runs_make_the_same_manifest_as_one(
    tmp_path: Path, make_world: Callable[..., World]
) -> None:
    several = make_world(KEYS, schedule=schedule(3))
    with dg.DagsterInstance.ephemeral() as instance:
        fields = several.source.model_dump(exclude={"schedule"}) | {"schedule": schedule(1)}
        one = World(tmp_path / "one", instance, fields)
        for world in (one, several):
            world.discover()
        assert one.list_all().success
        for number in (3, 1, 2):
            outcome = list_part(several, number)
            assert outcome.success, failure_text(outcome)
            assert set(materializations(outcome)) == {several.key(key) for key in PARTS[number - 1]}
        for world in (one, several):
            for name in ("inventory_manifest", "prefix_usage"):
                outcome = world.run(name, str(TODAY))
                assert outcome.success, failure_text(outcome)
    records = [Dataset.of_date(each.store, each.layout).scan().collect() for each in (one, several)]
    assert records[0].equals(records[1])
    assert records[0]["key"].to_list() == sorted(KEYS)
    manifests = [manifest_of(each, TODAY) for each in (one, several)]
    shards = [[(each.shard, each.rows, each.parts) for each in made.shards] for made in manifests]
    assert shards[0] == shards[1]


def test_the_manifest_waits_for_all_runs(world: World) -> None:
    assert list_part(world, 1).success
    assert list_part(world, 3).success
    outcome = world.run("inventory_manifest", str(TODAY))
    assert not outcome.success
    assert "'b/', 'c/'" in failure_text(outcome)
    assert list_part(world, 2).success
    assert world.run("inventory_manifest", str(TODAY)).success


def test_a_failed_run_is_finished_by_retrying_that_one(world: World, buckets: Buckets) -> None:
    buckets.failing["c/"] = ConnectionError("the cable was pulled")
    buckets.listed.clear()
    results = [list_part(world, number).success for number in (1, 2, 3)]
    assert results == [True, False, True]
    assert not world.run("inventory_manifest", str(TODAY)).success
    buckets.failing.clear()
    buckets.listed.clear()
    again = list_part(world, 2)
    assert again.success, failure_text(again)
    assert {*buckets.listed} == {"b/", "c/"}  # and nothing of what the others had listed
    outcome = world.run("inventory_manifest", str(TODAY))
    assert outcome.success, failure_text(outcome)
    assert manifest_of(world, TODAY).rows == len(KEYS)


def test_a_prefix_that_is_new_is_listed_by_the_first_run_alone(
    world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] |= {"0/1", "bb/1"}
    listed = [set(materializations(list_part(world, number))) for number in (2, 1, 3)]
    assert {world.key("0/"), world.key("bb/")} <= listed[1]
    assert sorted(map(len, listed)) == [1, 2, 4]
    outcome = world.run("inventory_manifest", str(TODAY))
    assert outcome.success, failure_text(outcome)
    found = Dataset.of_date(world.store, world.layout).scan().collect()["key"].to_list()
    assert found == sorted(buckets.keys["memory"])


def test_a_prefix_that_appears_between_two_runs_is_neither_lost_nor_counted_twice(
    world: World, buckets: Buckets
) -> None:
    """The run of the remainder had begun before the first run found the prefix, or after it."""
    parts = [[REMAINDER, "a/"], ["b/", "c/"], ["d/"]]
    for late in (True, False):
        buckets.keys["memory"] |= {f"new-{late}/1", f"new-{late}/2"}
        if late:
            world.run("object_listing", tags=world.assets.partitions.range_tags(TODAY, parts[0]))
            world.discover()
        else:
            world.discover()
            world.run("object_listing", tags=world.assets.partitions.range_tags(TODAY, parts[0]))
        assert world.run("object_listing", world.key(f"new-{late}/")).success
        for part in parts[1:]:
            tags = world.assets.partitions.range_tags(TODAY, part)
            assert world.run("object_listing", tags=tags).success
        outcome = world.run("inventory_manifest", str(TODAY))
        assert outcome.success, failure_text(outcome)
        found = Dataset.of_date(world.store, world.layout).scan().collect()["key"].to_list()
        assert found == sorted(buckets.keys["memory"])


def test_changes_are_those_of_one_run(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    world.set_day(TODAY)
    buckets.keys["memory"] -= {"c/1"}
    buckets.keys["memory"] |= {"a/3", "d/0"}
    for number in (1, 2, 3):
        assert list_part(world, number).success
        assert world.run("object_changes", tags=tags_of(world, number)).success
    assert world.run("inventory_manifest", str(TODAY)).success
    outcome = world.run("change_log", str(TODAY))
    assert outcome.success, failure_text(outcome)
    changes = Dataset.of_date(world.store, world.layout).changes(TODAY).collect()
    assert changes.select("key", "change").rows() == [
        ("a/3", "created"),
        ("c/1", "deleted"),
        ("d/0", "created"),
    ]


def test_the_usage_of_a_date_is_aggregated_by_the_runs_of_its_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        assert list_part(world, number).success
        assert world.run("object_changes", tags=tags_of(world, number)).success
    assert world.run("inventory_manifest", str(TODAY)).success
    read: list[str] = []
    aggregate = part_usage_module.usage_of_part

    def note(store: Any, part: Any) -> Any:
        read.append(part.key)
        return aggregate(store, part)

    monkeypatch.setattr(part_usage_module, "usage_of_part", note)
    outcome = world.run("prefix_usage", str(TODAY))
    assert outcome.success, failure_text(outcome)
    assert read == []
    usage = Dataset.of_date(world.store, world.layout).usage().collect()
    assert usage.filter(usage["prefix"] == "")["objects"].sum() == len(KEYS)


def test_usage_that_cannot_be_aggregated_yet_fails_no_comparison(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list_part(world, 2).success

    def fail(*_args: object) -> None:
        raise StoreError("the store is full")

    with monkeypatch.context() as patch:
        patch.setattr("inventory_assets.defs.assets.changes.part_usage", fail)
        outcome = world.run("object_changes", tags=tags_of(world, 2))
    assert outcome.success, failure_text(outcome)
    logs = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    assert any("is not aggregated yet: the store is full" in each for each in logs)


# What is of the whole date.


def test_the_budget_is_that_of_all_runs_of_the_date(
    tmp_path: Path, world: World, buckets: Buckets
) -> None:
    """Each alone would be within it."""
    world.pass_day(YESTERDAY)
    requests = sum(each.requests for each in manifest_of(world, YESTERDAY).shards)
    fields = {"bucket": "memory", "schedule": schedule(3), "budget": Budget(requests=requests - 1)}
    bounded = World(tmp_path, world.instance, fields)
    buckets.listed.clear()
    for number in (1, 2, 3):
        outcome = list_part(bounded, number)
        assert f"it is expected to take {requests} LIST requests" in failure_text(outcome)
    assert buckets.listed == []
    alone = {key: value for key, value in tags_of(bounded, 2).items() if key != RUN_OF_DATE_TAG}
    assert bounded.run("object_listing", tags=alone).success


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_a_shard_that_another_run_of_the_date_has_still_to_list_is_not_retired(
    tmp_path: Path, world: World, buckets: Buckets, status: dg.DagsterRunStatus
) -> None:
    """It lies between the first and last shard of that run; the remainder has left it out."""
    fields = {"bucket": "memory", "schedule": schedule(2), "shards": Shards(retire_after_days=1)}
    world = World(tmp_path, world.instance, fields)
    buckets.keys["memory"] -= {"b/1"}
    for age in (2, 1):
        world.pass_day(TODAY - timedelta(days=age))
    world.set_day(TODAY)
    parts = [[REMAINDER], ["a/", "b/", "c/", "d/"]]
    other = dg.DagsterRun(
        job_name="src_listing",
        status=status,
        tags=world.assets.partitions.range_tags(TODAY, parts[1]),
    )
    world.instance.add_run(other)
    first = {**world.assets.partitions.range_tags(TODAY, parts[0]), FIND_SHARDS_TAG: "true"}
    assert world.run("object_listing", tags=first).success
    assert "b/" in world.shard_keys
    second = world.assets.partitions.range_tags(TODAY, parts[1])
    assert world.run("object_listing", tags=second).success
    outcome = world.run("inventory_manifest", str(TODAY))
    assert outcome.success, failure_text(outcome)
    world.instance.delete_run(other.run_id)
    assert world.run("object_listing", tags=first).success
    assert "b/" not in world.shard_keys


def test_one_terminated_run_of_a_date_is_found_although_others_were_later(world: World) -> None:
    assert not was_terminated(world)
    runs = [
        add_run(world, number, status)
        for number, status in enumerate(
            [
                dg.DagsterRunStatus.SUCCESS,
                dg.DagsterRunStatus.CANCELED,
                dg.DagsterRunStatus.SUCCESS,
            ],
            start=1,
        )
    ]
    assert was_terminated(world)
    add_run(world, 2, dg.DagsterRunStatus.SUCCESS, parent=runs[1])  # executed again
    assert not was_terminated(world)
    add_run(world, 2, dg.DagsterRunStatus.FAILURE, parent=runs[1])
    assert not was_terminated(world)


def add_run(
    world: World, number: int, status: dg.DagsterRunStatus, parent: dg.DagsterRun | None = None
) -> dg.DagsterRun:
    tags = {**tags_of(world, number), "inventory_assets/shards_of": "src"}
    run = dg.DagsterRun(
        job_name=world.assets.listing_job,
        status=status,
        tags=tags,
        parent_run_id=parent.run_id if parent else None,
        root_run_id=parent.run_id if parent else None,
    )
    return world.instance.add_run(run)


def was_terminated(world: World) -> bool:
    work = world.assets.bind(SimpleNamespace(**world.resources()), world.instance)
    context: Any = SimpleNamespace(instance=world.instance)
    return listing_was_terminated(context, work, TODAY)


# Backfills.


def policies(world: World) -> dict[str, dg.BackfillPolicy | None]:
    graph = world.definitions.resolve_asset_graph()
    names = ("object_listing", "object_changes", "prefix_usage", "inventory_manifest")
    return {name: graph.get(world.assets.key(name)).backfill_policy for name in names}


def test_a_backfill_of_a_date_has_no_more_runs_than_configured(world: World) -> None:
    found = policies(world)
    assert found["object_listing"] == found["object_changes"]
    assert found["object_listing"] == dg.BackfillPolicy.multi_run(86)  # of 257 shards
    assert found["prefix_usage"] == dg.BackfillPolicy.single_run()
    assert found["inventory_manifest"] == dg.BackfillPolicy.multi_run(1)


def test_with_one_run_a_backfill_has_one_and_nothing_needs_a_pool(
    tmp_path: Path, world: World
) -> None:
    one = World(tmp_path, world.instance, {"bucket": "memory"})
    assert policies(one)["object_listing"] == dg.BackfillPolicy.single_run()
    graph = one.definitions.resolve_asset_graph()
    assert not any(node.pools for node in graph.asset_nodes)
    assert pool_mistake(one.instance, one.source) is None
    outcome = one.list_all()
    run = one.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert {REQUESTS_OF_TAG, REQUESTS_TAG}.isdisjoint(run.tags)


# The pool.


def test_a_pool_without_a_limit_is_said_with_the_command(world: World) -> None:
    outcome = list_part(world, 2)
    assert outcome.success
    logs = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    (told,) = [each for each in logs if "pool" in each]
    assert told == (
        "the pool inventory_src has no limit, so any number of runs of the source src may be in "
        "progress at a time, and share its requests; run `dagster instance concurrency set "
        "inventory_src 3`, or set concurrency.pools.default_limit to 3 in dagster.yaml, and "
        "granularity to run (docs/many-runs.md)"
    )


def test_the_limit_of_the_pool_allows_as_many_runs(tmp_path: Path, world: World) -> None:
    pool = pool_of(world.source)
    assert pool == "inventory_src"
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots(pool, 2)
        mistake = pool_mistake(instance, world.source)
        assert mistake is not None
        assert "allows 2 run(s) at a time, and schedule.runs of the source src is 3" in mistake
        instance.event_log_storage.set_concurrency_slots(pool, 3)
        assert pool_mistake(instance, world.source) is None


def test_a_default_limit_of_pools_is_enough(tmp_path: Path, world: World) -> None:
    for limit, is_enough in ((2, False), (3, True)):
        overrides = {"concurrency": {"pools": {"granularity": "run", "default_limit": limit}}}
        folder = tmp_path / str(limit)
        folder.mkdir()
        with dg.DagsterInstance.local_temp(str(folder), overrides) as instance:
            assert (pool_mistake(instance, world.source) is None) is is_enough


# The share of requests.


def test_a_run_reserves_requests_until_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved: list[str] = []
    write = dg.DagsterInstance.add_run_tags

    def note(instance: dg.DagsterInstance, run_id: str, tags: dict[str, str]) -> None:
        if REQUESTS_TAG in tags:
            assert tags[REQUESTS_OF_TAG] == "src"
            reserved.append(tags[REQUESTS_TAG])
        write(instance, run_id, tags)

    monkeypatch.setattr(dg.DagsterInstance, "add_run_tags", note)
    assert list_part(world, 2).success
    assert reserved == ["0", "32", ""]


def test_a_run_that_fails_leaves_its_share_too(world: World, buckets: Buckets) -> None:
    buckets.failing["c/"] = ConnectionError("the cable was pulled")
    outcome = list_part(world, 2)
    assert not outcome.success
    run = world.instance.get_run_by_id(outcome.run_id)
    assert run is not None
    assert run.tags[REQUESTS_TAG] == ""


def test_the_share_of_a_run_that_is_over_in_any_way_is_free(world: World) -> None:
    """A killed run keeps its reservation in its tags, until Dagster says that it failed."""
    tags = {REQUESTS_OF_TAG: "src", REQUESTS_TAG: "32"}
    run = dg.DagsterRun(job_name="any", status=dg.DagsterRunStatus.FAILURE, tags=tags)
    world.instance.add_run(run)
    assert list_part(world, 2).success


# The version and the configuration.


def change_planned(monkeypatch: pytest.MonkeyPatch, fingerprint: str | None) -> list[str | None]:
    """Let runs be planned by a process with another fingerprint; return which it replaced."""
    replaced: list[str | None] = []
    read = dg.DagsterInstance.get_execution_plan_snapshot

    def read_changed(instance: dg.DagsterInstance, snapshot_id: str) -> Any:
        plan = read(instance, snapshot_id)
        steps = []
        for step in plan.steps:
            replaced.append((step.tags or {}).get(FINGERPRINT_TAG))
            steps.append(replace_tags(step, fingerprint))
        return plan._replace(steps=steps)

    monkeypatch.setattr(dg.DagsterInstance, "get_execution_plan_snapshot", read_changed)
    return replaced


def replace_tags(step: Any, fingerprint: str | None) -> Any:
    tags = {key: value for key, value in step.tags.items() if key != FINGERPRINT_TAG}
    return step._replace(tags=tags | ({FINGERPRINT_TAG: fingerprint} if fingerprint else {}))


def test_a_run_that_another_version_planned_is_refused(
    world: World, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = change_planned(monkeypatch, "0.0.9+0123456789")
    buckets.listed.clear()
    outcome = list_part(world, 2)
    assert not outcome.success
    assert buckets.listed == []
    assert replaced == [world.definitions_fingerprint]
    assert (
        f"this run was planned with inventory-assets 0.0.9+0123456789, and this process has "
        f"{world.definitions_fingerprint} (the version, and a hash of the configuration of the "
        "source src); give all machines the same version and configuration, reload the code "
        "location, and execute the run again"
    ) in failure_text(outcome)


def test_a_run_that_was_planned_without_a_fingerprint_is_fine(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_planned(monkeypatch, None)
    assert list_part(world, 2).success


def test_another_configuration_of_the_source_has_another_fingerprint(
    tmp_path: Path, world: World
) -> None:
    def fingerprint(**fields: Any) -> str | None:
        given = {"bucket": "memory", "schedule": schedule(3)}
        return World(tmp_path, world.instance, {**given, **fields}).definitions_fingerprint

    same = fingerprint()
    assert same == world.definitions_fingerprint
    assert same is not None
    assert same.startswith("0.1.0+")
    assert fingerprint(prefix="a/") != same
    assert fingerprint(schedule=schedule(4)) != same
    assert fingerprint(shards=Shards(depth=2)) != same
    # Paths of files may differ between machines, and the external id may be a secret.
    assert fingerprint(prices="/srv/prices.toml") == same
    assert fingerprint(
        role_arn="arn:aws:iam::123456789012:role/x", external_id="one"
    ) == fingerprint(role_arn="arn:aws:iam::123456789012:role/x", external_id="two")
    assert fingerprint(schedule=schedule(1)) is None
