"""`new_objects_sensor`: a run for each new object or batch, none missed and none repeated."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory_assets import Layout, NewObjects, new_objects_sensor
from inventory_assets.defs.source.resources import InventoryStore
from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.assets.world import TODAY, YESTERDAY, Buckets, World
from inventory_assets_tests.inventory.feed_histories import (
    ANY_STEP,
    History,
    Objects,
    Step,
    StoredHistory,
    run,
)
from inventory_assets_tests.inventory.samples import HOSTILE_KEYS, LAYOUT

Found = tuple[str, str | None]
"""The key and ETag of an object for which a run was started."""


@dg.op
def process(config: NewObjects) -> None:
    """What a user does with new objects."""


@dg.job
def ingest() -> None:
    process()


@dataclass
class Daemon:
    """Evaluates a sensor tick by tick, and starts each run key once, as Dagster does."""

    sensor: dg.SensorDefinition
    resources: dict[str, Any]
    cursor: str | None = None
    started: dict[str, dg.RunRequest] = field(default_factory=dict)

    def tick(self, dies_after: int | None = None) -> SensorExecutionData:
        """One tick. One that dies has started some of its runs, and keeps no cursor."""
        with dg.build_sensor_context(cursor=self.cursor, resources=self.resources) as context:
            result = self.sensor.evaluate_tick(context)
        for request in list(result.run_requests or [])[:dies_after]:
            self.started.setdefault(str(request.run_key), request)
        if dies_after is None:
            self.cursor = result.cursor
        return result

    def until_idle(self) -> None:
        for _ in range(100):
            before = self.cursor
            result = self.tick()
            if not result.run_requests and self.cursor == before:
                return
        pytest.fail("the sensor does not come to an end")

    @property
    def objects(self) -> list[Found]:
        return [
            (each["key"], each["e_tag"])
            for request in self.started.values()
            for each in config_of(request)["objects"]
        ]

    @property
    def keys(self) -> list[str]:
        return sorted(key for key, _ in self.objects)


def config_of(request: dg.RunRequest) -> dict[str, Any]:
    config: dict[str, Any] = request.run_config["ops"]["process"]["config"]
    return config


def daemon_of(store: LocalStore, source: Layout = LAYOUT, **options: Any) -> Daemon:
    sensor = new_objects_sensor(source, target=ingest, op="process", **options)
    return Daemon(sensor, {f"{source.source}_store": InventoryStore(root=str(store.root))})


@pytest.fixture
def daemon(world: World) -> Daemon:
    return daemon_of(world.store, world.layout)


def test_it_begins_after_the_newest_inventory(
    daemon: Daemon, world: World, buckets: Buckets
) -> None:
    assert "no change log of src was published yet" in str(daemon.tick().skip_message)
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    buckets.keys["memory"] ^= {"a/1", "a/new", "root2"}
    world.pass_day(TODAY)
    result = daemon.tick()
    assert not result.run_requests
    assert f"planned runs for new objects of {TODAY}" in str(result.skip_message)
    (request,) = daemon.tick().run_requests or []
    tags = {"inventory/source": "src", "inventory/date": str(TODAY)}
    assert request.tags.items() >= tags.items()
    config = config_of(request)
    assert (config["source"], config["date"]) == ("src", str(TODAY))
    assert [found["key"] for found in config["objects"]] == ["a/new", "root2"]
    assert config["objects"][0].keys() == {"bucket", "key", "version_id", "e_tag", "size"}
    assert f"no new objects after {TODAY}" in str(daemon.tick().skip_message)


def test_dates_are_followed_and_a_date_published_again_is_corrected(
    world: World, buckets: Buckets
) -> None:
    daemon = daemon_of(world.store, world.layout, existing=True, per="object")
    world.pass_day(TODAY - timedelta(days=2))
    daemon.until_idle()
    assert daemon.keys == sorted(buckets.keys["memory"])
    buckets.keys["memory"] |= {"a/3"}
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    buckets.keys["memory"] |= {"a/4", "root2"}
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    buckets.keys["memory"] |= {"b/5"}
    world.pass_day(TODAY)
    daemon.until_idle()
    assert daemon.keys == sorted(buckets.keys["memory"])
    assert len(daemon.started) == len(daemon.keys)


def test_a_run_of_the_job_has_the_objects_as_they_are(world: World, buckets: Buckets) -> None:
    seen: list[tuple[str, str, int]] = []

    @dg.asset
    def ingested(config: NewObjects) -> None:
        seen.extend((found.bucket, found.key, found.size) for found in config.objects)

    world.pass_day(YESTERDAY)
    sensor = new_objects_sensor(
        world.layout, target=[ingested], op="ingested", batch_size=4, existing=True
    )
    definitions = dg.Definitions.merge(
        world.definitions, dg.Definitions(assets=[ingested], sensors=[sensor])
    )
    hostile = {key for key in HOSTILE_KEYS if key.isprintable() or key == "a\nb"}
    buckets.keys["memory"] |= {*hostile, "{{ env }}", "$(x)", "a: [1]", "x" * 1024}
    daemon = Daemon(sensor, world.resources())
    daemon.until_idle()
    world.pass_day(TODAY)
    daemon.until_idle()
    job = definitions.resolve_implicit_global_asset_job_def()
    for request in daemon.started.values():
        result = job.execute_in_process(
            instance=world.instance,
            run_config=request.run_config,
            tags=request.tags,
            asset_selection=[ingested.key],
        )
        assert result.success
    assert sorted(key for _, key, _ in seen) == sorted(buckets.keys["memory"])
    assert {bucket for bucket, _, _ in seen} == {"memory"}


def test_a_tick_that_dies_is_repeated_exactly(world: World, buckets: Buckets) -> None:
    """Also if the date that it had planned is published again before it is repeated."""
    daemon = daemon_of(world.store, world.layout, batch_size=2, max_runs_per_tick=3)
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    added = {f"a/new{number}" for number in range(5)}
    buckets.keys["memory"] |= added
    world.pass_day(TODAY)
    daemon.tick()
    planned = daemon.tick(dies_after=1).run_requests
    assert planned is not None
    assert len(planned) == 3
    buckets.keys["memory"] |= {"a/earlier", "a/new00", "z"}
    world.pass_day(TODAY)
    repeated = daemon.tick().run_requests
    assert repeated == planned
    daemon.until_idle()
    assert daemon.keys == sorted({*added, "a/earlier", "a/new00", "z"})


def test_other_options_do_not_change_what_was_planned(world: World, buckets: Buckets) -> None:
    daemon = daemon_of(world.store, world.layout, batch_size=2)
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    buckets.keys["memory"] |= {f"a/new{number}" for number in range(5)}
    world.pass_day(TODAY)
    daemon.tick()
    planned = daemon.tick(dies_after=1).run_requests
    other = daemon_of(world.store, world.layout, per="object", prefix="b/")
    other.cursor = daemon.cursor
    assert other.tick().run_requests == planned


def test_a_prefix_and_a_pattern_choose_the_objects(world: World, buckets: Buckets) -> None:
    options = {"prefix": "a/", "pattern": r"\.parquet$", "per": "object"}
    daemon = daemon_of(world.store, world.layout, **options)
    world.pass_day(YESTERDAY)
    daemon.until_idle()
    buckets.keys["memory"] |= {"a/1.parquet", "a/1.parquet.gz", "b/1.parquet", "a/x/2.parquet"}
    world.pass_day(TODAY)
    daemon.until_idle()
    assert daemon.keys == ["a/1.parquet", "a/x/2.parquet"]


def test_a_tick_requests_few_runs_and_ends_in_time(world: World, buckets: Buckets) -> None:
    world.pass_day(YESTERDAY)
    buckets.keys["memory"] |= {f"a/new{number:02}" for number in range(9)}
    daemons = [
        daemon_of(world.store, world.layout, per="object", max_runs_per_tick=2),
        daemon_of(world.store, world.layout, per="object", max_seconds_per_tick=0),
    ]
    for daemon in daemons:
        daemon.tick()
    world.pass_day(TODAY)
    for daemon in daemons:
        for _ in range(9):
            assert len(daemon.tick().run_requests or []) <= 9
        daemon.until_idle()
        assert len(daemon.keys) == 9
    counts = Counter(len(daemons[0].tick().run_requests or []) for _ in range(2))
    assert counts == {0: 2}


def test_the_cursor_of_another_source_is_refused(world: World) -> None:
    world.pass_day(TODAY)
    daemon = daemon_of(world.store, world.layout)
    daemon.tick()
    other = daemon_of(world.store, Layout("memory", "other"))
    other.cursor = daemon.cursor
    with pytest.raises(CursorRefused, match="belongs to the source 'memory/src', and this reads"):
        other.tick()
    other.cursor = "2026-05-05"
    with pytest.raises(CursorRefused, match="reset the cursor of the sensor to begin anew"):
        other.tick()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pattern": "("}, r"pattern '\(' is no regular expression"),
        ({"batch_size": 0}, "must be at least 1"),
        ({"max_runs_per_tick": 0}, "must be at least 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=sentence):
        new_objects_sensor(LAYOUT, target=ingest, op="process", **options)


def test_the_runs_have_the_configuration_of_the_job(world: World) -> None:
    daemon = daemon_of(world.store, world.layout, existing=True)
    world.pass_day(TODAY)
    daemon.until_idle()
    (request,) = daemon.started.values()
    assert dg.validate_run_config(ingest, request.run_config)
    assert ingest.execute_in_process(run_config=request.run_config).success


class SensorHistory(History):
    """A history that is read by a sensor whose ticks die where they like."""

    def __init__(self, store: LocalStore, deaths: list[int | None], **options: Any) -> None:
        self._stored = StoredHistory(store)
        self.daemon = daemon_of(store, existing=True, **options)
        self._deaths = deaths

    def publish(self, day: date, objects: Objects, clock: int) -> None:
        self._stored.publish(day, objects, clock)

    def log(self, day: date) -> None:
        self._stored.log(day)

    def read(self, cursor: str | None) -> tuple[list[tuple[str, int]], str] | None:
        """One tick; nothing once there is nothing left to do."""
        del cursor  # the daemon keeps it
        before, known = self.daemon.cursor, len(self.daemon.objects)
        dies_after = self._deaths.pop() if self._deaths else None
        self.daemon.tick(dies_after)
        found = [(key, int(e_tag or "", 16)) for key, e_tag in self.daemon.objects[known:]]
        is_idle = not found and self.daemon.cursor == before and dies_after is None
        return None if is_idle else (found, "")


@pytest.fixture(scope="module")
def roomy_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_store, "_flush", lambda _path: None)
        yield LocalStore(tmp_path_factory.mktemp("store"))


ALIVE = [each for each in ANY_STEP if not each[3]]


@settings(max_examples=40, deadline=None)
@example([("inventory", "", 0, False), ("write", "a", 0, False)], [1], 1, 1)
@given(
    st.lists(st.sampled_from(ALIVE), max_size=30),
    st.lists(st.none() | st.integers(0, 2), max_size=20),
    st.integers(1, 2),
    st.integers(1, 3),
)
def test_every_created_object_has_exactly_one_run(
    roomy_store: LocalStore,
    actions: list[Step],
    deaths: list[int | None],
    batch_size: int,
    runs: int,
) -> None:
    """Whatever is published, published again or missed, and wherever ticks die."""
    roomy_store.remove()
    history = SensorHistory(roomy_store, [*deaths], batch_size=batch_size, max_runs_per_tick=runs)
    processed, held = run(history, actions)
    assert {found: count for found, count in processed.items() if count > 1} == {}
    assert held.items() <= processed.keys()
    assert Counter(processed) == Counter(
        (key, int(e_tag or "", 16)) for key, e_tag in history.daemon.objects
    )
