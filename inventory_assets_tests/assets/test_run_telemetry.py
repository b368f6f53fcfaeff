"""The telemetry of a Dagster run that lists."""

import logging
from collections.abc import Callable, Iterator

import pytest

from inventory_assets.defs.source import shard_listing
from inventory_assets.defs.source.run_telemetry import TRACE_TAG
from inventory_assets_tests.assets.conftest import SECRET_KEY
from inventory_assets_tests.assets.listed_shards import DENIED
from inventory_assets_tests.assets.world import Buckets, World
from inventory_assets_tests.fakes.otlp_receiver import HttpReceiver

MARKER = "MaRkEr"
KEYS = [f"{MARKER}-a/1", f"{MARKER}-a/2", f"{MARKER}-b/1", f"{MARKER}-root"]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with HttpReceiver() as server:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.url)
        yield server


def test_a_run_has_the_id_of_its_trace_as_a_tag_and_in_its_log(
    make_world: Callable[..., World], receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_listing, "PROGRESS_INTERVAL_SECONDS", 0.01)
    world = make_world(KEYS)
    world.discover()
    outcome = world.list_all()
    assert outcome.success
    (run,) = receiver.received.named("inventory.listing")
    record = world.instance.get_run_by_id(outcome.run_id)
    assert record is not None
    assert record.tags[TRACE_TAG] == run.trace_id
    logged = [entry.user_message for entry in world.instance.all_logs(outcome.run_id)]
    progress = [line for line in logged if "requests in flight" in line]
    assert progress
    assert all(line.endswith(f" trace_id={run.trace_id}") for line in progress)
    assert run.attributes["dagster.run_id"] == outcome.run_id
    assert run.attributes["inventory.source"] == world.source.name
    assert run.attributes["inventory.dates"] == [str(world.day)]
    assert run.attributes["inventory.keys"] == len(KEYS)


def test_each_partition_is_a_shard_of_the_trace_without_its_name(
    make_world: Callable[..., World], receiver: HttpReceiver
) -> None:
    world = make_world(KEYS)
    world.discover()
    assert world.list_all().success
    shards = receiver.received.named("inventory.shard")
    assert sorted(span.attributes["inventory.shard.index"] for span in shards) == [0, 1, 2]
    assert sum(span.attributes["inventory.keys"] for span in shards) == len(KEYS)
    for body in receiver.received.bodies:
        assert MARKER.encode() not in body
        assert SECRET_KEY.encode() not in body


def test_a_failed_shard_is_an_error_and_the_others_are_not(
    world: World, buckets: Buckets, receiver: HttpReceiver
) -> None:
    world.discover()
    buckets.failing["b/"] = DENIED
    assert not world.list_all().success
    shards = receiver.received.named("inventory.shard")
    kinds = [span.attributes.get("error.type") for span in shards if span.is_error]
    assert kinds == ["AccessDenied"]
    assert len(shards) == 4


def test_a_collector_that_is_away_does_not_fail_a_run(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    world.discover()
    assert world.list_all().success
    ours = [
        each for each in caplog.records if each.name == "inventory_assets.telemetry.exporter_log"
    ]
    assert [each.levelno for each in ours] == [logging.WARNING]


def test_a_run_without_telemetry_has_no_tag(world: World) -> None:
    world.discover()
    record = world.instance.get_run_by_id(world.list_all().run_id)
    assert record is not None
    assert TRACE_TAG not in record.tags
