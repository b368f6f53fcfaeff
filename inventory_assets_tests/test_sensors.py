import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from inventory_assets.config import Shards
from inventory_assets.defs import sensors
from inventory_assets.defs.assets.shards import add_shards
from inventory_assets.defs.sensors import NEW_SHARDS_PER_TICK, SECONDS_PER_TICK
from inventory_assets.defs.source.resources import SourceBucket
from inventory_assets.inventory.listing.shard_retirement import (
    Retirement,
    read_retirement,
    record_retirement,
)
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import KeyEncoding
from inventory_assets.scan.errors import NamesMisread
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import Discovery
from inventory_assets.scan.prefix_search import LEVEL_PAGES, PrefixSearch
from inventory_assets_tests.assets.world import REMAINDER, TODAY, YESTERDAY, Buckets, World
from inventory_assets_tests.fakes.fake_source import FakeSource
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.fakes.model_s3 import ModelS3


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance on the disk: a tick opens it by its reference."""
    with dg.DagsterInstance.local_temp() as instance:
        yield instance


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    found = Buckets(monkeypatch)
    found.keys["memory"] = {"a/1", "b/1"}
    return found


@pytest.fixture
def world(tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets) -> Iterator[World]:
    """A world with known shards and one new prefix."""
    world = World(tmp_path, instance, {"bucket": "memory"})
    world.discover()
    buckets.keys["memory"].add("new/1")
    yield world
    world.forget_shards()


def tick(world: World, cursor: str | None = None) -> SensorExecutionData:
    """One tick, whose result is thrown away unless `keep` is called with it."""
    repository = world.definitions.get_repository_def()
    sensor = repository.get_sensor_def("src_new_prefixes")
    with dg.build_sensor_context(
        instance_ref=world.instance.get_ref(),
        cursor=cursor,
        repository_def=repository,
        resources=world.resources(),
    ) as context:
        return sensor.evaluate_tick(context)


def keep(world: World, data: SensorExecutionData) -> str | None:
    """Apply a tick's result like the daemon: add the partitions, and store the cursor."""
    for request in data.dynamic_partitions_requests or []:
        world.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return data.cursor


def requested(data: SensorExecutionData) -> dict[str, str]:
    """The partitions requested, by run key."""
    return {str(r.run_key): str(r.partition_key) for r in data.run_requests or []}


def added(data: SensorExecutionData) -> list[str]:
    requests = data.dynamic_partitions_requests or []
    return [key for request in requests for key in request.partition_keys]


def search(world: World, cursor: str | None = None) -> str | None:
    """The cursor after a tick that searches; it requests nothing."""
    data = tick(world, cursor)
    assert (requested(data), added(data)) == ({}, [])
    return keep(world, data)


def test_a_new_prefix_gets_a_partition_and_only_it_is_listed(world: World) -> None:
    data = tick(world, search(world))
    assert requested(data) == {f"{TODAY}|new/": f"{TODAY}|new/"}
    assert added(data) == ["new/"]
    keep(world, data)
    assert world.shard_keys == [REMAINDER, "a/", "b/", "new/"]
    assert world.run("object_listing", f"{TODAY}|new/").success


def test_a_search_says_what_it_found(world: World) -> None:
    data = tick(world)
    assert data.skip_message == "new prefixes: 1 of 3; the next tick starts their listings"


def test_it_is_requested_once(world: World) -> None:
    cursor = keep(world, tick(world, search(world)))
    again = tick(world, cursor)
    assert requested(again) == {}
    assert again.skip_message == "no new prefix among 3"


def test_a_tick_that_was_lost_is_repeated_with_the_same_run_key(world: World) -> None:
    cursor = search(world)
    assert requested(tick(world, cursor)) == requested(tick(world, cursor)) != {}


def test_a_tick_that_died_after_the_partition_was_added_asks_for_no_other_run(
    world: World,
) -> None:
    cursor = search(world)
    first = tick(world, cursor)
    keep(world, first)
    again = tick(world, cursor)
    assert requested(again) == requested(first) != {}
    assert added(again) == []


def test_a_prefix_that_was_listed_today_is_not_listed_again(world: World) -> None:
    cursor = search(world)
    world.discover()
    world.list_all()
    data = tick(world, cursor)
    assert requested(data) == {}
    assert data.skip_message == "the new prefixes were listed meanwhile"


def test_one_tick_starts_a_bounded_number_of_runs_and_the_next_continues(
    world: World, buckets: Buckets
) -> None:
    buckets.keys["memory"] = {f"{number:03}/x" for number in range(NEW_SHARDS_PER_TICK + 3)}
    first = tick(world, search(world))
    assert len(requested(first)) == len(added(first)) == NEW_SHARDS_PER_TICK
    second = tick(world, keep(world, first))
    assert len(requested(second)) == 3
    assert requested(tick(world, search(world, keep(world, second)))) == {}
    assert not requested(first).keys() & requested(second).keys()


@pytest.mark.parametrize("cursor", ["{", "null", "7", "no json", '["a/", "b/"]'])
def test_a_cursor_that_cannot_be_read_is_said_and_the_search_starts_anew(
    world: World, cursor: str
) -> None:
    data = tick(world, cursor)
    said = f"the search starts anew: {cursor!r} is no cursor of this sensor; new prefixes: 1 of 3"
    assert str(data.skip_message).startswith(said)
    assert requested(tick(world, keep(world, data))) == {f"{TODAY}|new/": f"{TODAY}|new/"}


def test_an_empty_cursor_begins_a_search(world: World) -> None:
    assert requested(tick(world, search(world, ""))) == {f"{TODAY}|new/": f"{TODAY}|new/"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("source", "other/logs", "the cursor belongs to the source 'other/logs' with the prefix"),
        ("prefix", "2026/", "with the prefix '2026/', and this sensor searches 'memory/src'"),
        ("depth", 2, "a search with shards.depth = 2, and it is 1 now"),
    ],
)
def test_a_cursor_of_another_search_is_said_and_the_search_starts_anew(
    world: World, field: str, value: object, said: str
) -> None:
    others = json.dumps({**json.loads(str(search(world))), field: value, "new": ["other/"]})
    data = tick(world, others)
    assert str(data.skip_message).startswith("the search starts anew: the cursor belongs to ")
    assert said in str(data.skip_message)
    assert requested(tick(world, keep(world, data))) == {f"{TODAY}|new/": f"{TODAY}|new/"}


def test_a_prefix_whose_shard_was_retired_is_a_shard_again(world: World) -> None:
    record_retirement(world.store, world.layout, Retirement("new/", TODAY, YESTERDAY))
    data = tick(world, search(world))
    assert (list(requested(data)), added(data)) == ([f"{TODAY}|new/"], ["new/"])
    assert read_retirement(world.store, world.layout, "new/") is None


def test_a_source_without_shards_waits_for_its_first_discovery(world: World) -> None:
    world.forget_shards()
    data = tick(world)
    assert requested(data) == {}
    assert "materialize `shards`" in str(data.skip_message)


def test_a_source_whose_first_run_is_still_to_search_waits_for_it(
    world: World, buckets: Buckets, tmp_path: Path
) -> None:
    assert buckets.keys
    fresh = World(tmp_path / "fresh", world.instance, {"bucket": "memory"})
    world.forget_shards()
    fresh.instance.add_dynamic_partitions(fresh.assets.partitions.shards_name, [REMAINDER])
    assert requested(tick(fresh)) == {}


def test_too_many_prefixes_are_left_to_the_remainder(world: World, buckets: Buckets) -> None:
    buckets.keys["memory"] = {f"{number:03}/x" for number in range(300)}
    data = tick(world)
    assert requested(data) == {}
    assert "the remainder covers prefixes without a shard" in str(data.skip_message)


class Silent(ModelS3):
    """Answers some requests; the next one waits until the listing is cancelled."""

    def __init__(self, keys: set[str], answers: int) -> None:
        super().__init__(keys, 1000)
        self.answers = answers
        self.cancelled = Event()

    def cancel(self) -> None:
        super().cancel()
        self.cancelled.set()

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        if len(self.requests) == self.answers:
            assert self.cancelled.wait(60)
        return super().list_page_sync(request, stats)


def test_a_bucket_that_does_not_answer_fails_the_tick_with_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SourceBucket, "lister", lambda _bucket, _now: Silent({"a/1"}, 0))
    monkeypatch.setattr(sensors, "SILENCE_SECONDS", 0.01)
    with pytest.raises(dg.Failure) as failed:
        tick(world)
    assert "no prefixes were listed within 0 s; check that the endpoint can be reached" in str(
        failed.value.description
    )


def test_a_bucket_that_stops_answering_ends_the_tick_with_what_was_found(
    tmp_path: Path,
    instance: dg.DagsterInstance,
    buckets: Buckets,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buckets.keys["memory"] = {"a/x/1", "b/x/1"}
    world = World(tmp_path, instance, {"bucket": "memory", "shards": Shards(depth=2)})
    world.discover()
    keys = {"a/x/1", "a/new/1", "b/x/1", "b/new/1"}
    with monkeypatch.context() as patch:
        patch.setattr(SourceBucket, "lister", lambda _bucket, _now: Silent(keys, 2))
        patch.setattr(sensors, "SILENCE_SECONDS", 0.5)
        data = tick(world)
    assert data.skip_message == (
        "2 prefixes were found so far, 1 of them new; the next tick searches on at 'b/'"
    )
    buckets.keys["memory"] = keys
    cursor = search(world, keep(world, data))
    assert added(tick(world, cursor)) == ["a/new/", "b/new/"]
    world.forget_shards()


def test_misread_names_start_the_search_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    step = PrefixSearch.step

    def misreading(search: PrefixSearch) -> str | None:
        if search.position.profile.encoding is not KeyEncoding.PLAIN:
            raise NamesMisread("the store encodes keys otherwise", KeyEncoding.PLAIN)
        return step(search)

    monkeypatch.setattr(PrefixSearch, "step", misreading)
    data = tick(world)
    assert data.skip_message == "the search starts anew: the store encodes keys otherwise"
    cursor = search(world, keep(world, data))
    assert requested(tick(world, cursor)) == {f"{TODAY}|new/": f"{TODAY}|new/"}


def test_a_source_of_depth_0_has_no_prefixes_to_search_for(
    tmp_path: Path, instance: dg.DagsterInstance, buckets: Buckets
) -> None:
    assert buckets.keys
    flat = World(tmp_path, instance, {"bucket": "memory", "shards": Shards(depth=0)})
    flat.discover()
    assert "shards.depth is 0" in str(tick(flat).skip_message)
    flat.forget_shards()


LATENCY = 0.2


class Clock:
    """A clock that only requests move forward."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Slow(FakeSource):
    """Lists folders page by page; each response takes time on a clock.

    Args:
        clock: The clock.
        levels: What each prefix has directly in it, in the order of the store.

    Attributes:
        requests: How many were sent.
        dies_after: The process ends before the request with this number.
    """

    def __init__(self, clock: Clock, levels: dict[str, list[str]]) -> None:
        super().__init__(BucketConfig("distant"))
        self.clock = clock
        self.levels = levels
        self.requests = 0
        self.dies_after = 10**9

    def list_page_sync(self: Any, request: PageRequest, stats: RequestStats) -> Page:
        if self.requests >= self.dies_after:
            raise KeyboardInterrupt
        assert request.delimiter, "a level is listed"
        self.requests += 1
        self.clock.seconds += LATENCY
        stats.sent()
        at, names = int(request.token or 0), self.levels[request.prefix]
        page, rest = names[at : at + 1000], names[at + 1000 :]
        return Page(
            objects_of(name for name in page if not name.endswith("/")),
            tuple(name for name in page if name.endswith("/")),
            bool(rest),
            str(at + 1000) if rest else None,
        )


@pytest.mark.parametrize("order", list(KeyOrder))
def test_2000_prefixes_behind_latency_are_searched_in_ticks_of_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: KeyOrder
) -> None:
    folders = [f"{number:04}/" for number in range(2_000)]
    levels = {"": folders, **{each: [f"{each}x-y", f"{each}x/"] for each in folders}}
    if order is KeyOrder.DIRECTORY:
        # One of them is too large to be listed; in this order it is not split.
        levels = {each: names[::-1] if each else names for each, names in levels.items()}
        levels["0555/"] = [f"0555/{number:06}" for number in range(30_000)]
    known = [f"{each}x/" if len(levels[each]) == 2 else each for each in folders]
    levels["0777/"] += ["0777/z/"]
    slow = Slow(Clock(), levels)
    monkeypatch.setattr(SourceBucket, "lister", lambda _bucket, _now: slow)
    monkeypatch.setattr(sensors, "time", slow.clock)
    shards = Shards(depth=2, max_shards=2_001)
    cursor, ticks = None, 0
    with dg.DagsterInstance.local_temp() as instance:
        world = World(tmp_path, instance, {"bucket": "distant", "shards": shards})
        work = world.assets.bind(SimpleNamespace(**world.resources()), instance)
        add_shards(work, Discovery(tuple(known), order, 0), instance)
        while ticks < 50:
            began = slow.clock.seconds
            data = tick(world, cursor)
            assert slow.clock.seconds - began <= SECONDS_PER_TICK + LATENCY * LEVEL_PAGES
            if requested(data):
                break
            cursor, ticks = keep(world, data), ticks + 1
            assert len(str(cursor)) < 1_000
            if ticks == 3:  # the process of the next one dies, and nothing of it is kept
                slow.dies_after = slow.requests + 50
                with pytest.raises(KeyboardInterrupt):
                    tick(world, cursor)
                slow.dies_after = 10**9
    assert requested(data) == {f"{TODAY}|0777/z/": f"{TODAY}|0777/z/"}
    # 50 requests were lost, and each tick lists the levels under way again: 2 pages and a folder.
    pages = 2 + 2_000 + (LEVEL_PAGES - 1) * (order is KeyOrder.DIRECTORY)
    assert slow.requests <= pages + 50 + 3 * (ticks + 1)
    assert ticks <= slow.requests * LATENCY / SECONDS_PER_TICK + 1


def test_a_tick_asks_the_bucket_only_for_what_is_not_known(world: World, buckets: Buckets) -> None:
    """One level is one page; the profile of the store is that of the daily run."""
    asked = ModelS3(buckets.keys["memory"], 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceBucket, "lister", lambda _bucket, _now: asked)
        cursor = search(world)
        assert len(asked.requests) == 1
        assert requested(tick(world, cursor)) != {}
        assert len(asked.requests) == 1
