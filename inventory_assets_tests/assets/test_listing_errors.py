"""Errors and interruptions of a listing."""

import threading
from collections.abc import Callable

import pytest

from inventory_assets.inventory.manifest.snapshot import read_snapshots
from inventory_assets_tests.assets.conftest import ACCESS_KEY, SECRET_KEY
from inventory_assets_tests.assets.listed_shards import DENIED, KEYS
from inventory_assets_tests.assets.world import TODAY, Buckets, Outcome, World, failure_text


def every_word(result: Outcome, world: World) -> str:
    """All that the run left behind, as text."""
    records = world.instance.all_logs(result.run_id)
    return "".join(map(repr, records)) + failure_text(result)


def test_a_wrong_bucket_is_reported(make_world: Callable[..., World]) -> None:
    world = make_world(KEYS, bucket="no-such-bucket-here")
    result = world.run("shards")
    assert "there is no such bucket; check its name, region and endpoint" in failure_text(result)
    (failure,) = (event.step_failure_data for event in result.events if event.is_step_failure)
    assert failure.user_failure_data
    assert failure.error
    assert failure.error.cause is None


def test_an_expected_failure_is_shown_without_the_stack_of_the_code_that_raised_it(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.failing["b/"] = DENIED
    outcome = world.list_all()
    (failure,) = (event.step_failure_data for event in outcome.events if event.is_step_failure)
    assert failure.user_failure_data
    assert failure.error
    assert failure.error.message.strip() == failure.user_failure_data.description
    assert failure.error.message.startswith("1 of 4 partitions failed; the others are kept")
    assert failure.error.stack == []
    assert failure.user_failure_data.metadata["done"].value == 3


def test_missing_credentials_are_reported(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(KEYS)
    world.discover()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    result = world.list_all()
    assert "AWS_SECRET_ACCESS_KEY" in failure_text(result)
    assert "bucket" in failure_text(result)


def test_no_secret_is_in_any_event(make_world: Callable[..., World], buckets: Buckets) -> None:
    world = make_world(KEYS)
    texts = [every_word(world.run("shards"), world), every_word(world.list_all(), world)]
    buckets.failing["b/"] = DENIED
    texts.append(every_word(world.list_all(), world))
    assert all(len(text) > 1000 for text in texts)
    assert not any(secret in text for text in texts for secret in (SECRET_KEY, ACCESS_KEY))


def test_an_interruption_publishes_nothing_unfinished_and_leaves_no_thread(
    world: World, buckets: Buckets
) -> None:
    world.discover()
    buckets.failing["b/"] = KeyboardInterrupt()
    before = set(threading.enumerate())
    assert not world.list_all().success
    assert "b/" not in read_snapshots(world.store, world.layout, TODAY)
    assert [thread.name for thread in set(threading.enumerate()) - before] == []
    assert list((world.store.root / ".scratch").iterdir()) == []


def test_a_defect_is_no_failed_shard(world: World, buckets: Buckets) -> None:
    world.discover()
    buckets.failing["b/"] = ZeroDivisionError("a defect")
    assert "ZeroDivisionError: a defect" in failure_text(world.list_all())
