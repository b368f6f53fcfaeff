"""`inventory status`."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.gate.publication import begin_date, publish_or_hold, release_date
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.listing.checkpoint_record import CHECKPOINT, Checkpoint
from inventory_assets.inventory.manifest.manifest_merge import merge, newest_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.inventory.gate.gated_dates import die, interrupted
from inventory_assets_tests.inventory.histories import Killed
from inventory_assets_tests.inventory.samples import LAYOUT, listed, snapshot_of

NOW = datetime.now(UTC)
TODAY = NOW.date()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with a configuration and nothing published."""
    (tmp_path / "inventory.toml").write_text(
        'store = "store"\n[sources.source]\nbucket = "bucket"\ngrowth.min_objects = 1\n'
    )
    return tmp_path


@pytest.fixture
def store(published: Path) -> LocalStore:
    return LocalStore(published / "store")


def publish(
    store: LocalStore,
    keys: str,
    day: date = TODAY,
    age: timedelta = timedelta(hours=5),
    failed: int = 0,
) -> bool:
    """Publish a date whose state is that of some time ago; whether it was held."""
    at = NOW - age
    snapshot = replace(
        snapshot_of(store, Shard("", ()), listed(keys), day),
        started_at=at,
        finished_at=at,
        requests=1_000,
        faults={"throttled": failed},
    )
    begun = begin_date(store, LAYOUT, day, NOW)
    baseline = newest_manifest(store, LAYOUT, day)
    manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW, baseline=baseline)
    bounds = GateBounds(0.8, 150)
    return publish_or_hold(store, LAYOUT, manifest, {"": snapshot}, bounds, begun, NOW).is_held


def document(outcome: Outcome) -> Any:
    [source] = json.loads(outcome.output)["sources"]
    return source


def test_a_fine_source_is_shown_on_a_few_lines(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    publish(store, "ab", TODAY - timedelta(days=1), timedelta(hours=29))
    publish(store, "abc")
    outcome = run("status")
    assert outcome.code == 0
    assert outcome.output.decode().splitlines() == [
        "source: fine",
        f"  newest      {TODAY}, the state of 5 h ago",
        "  holds       3 objects, 3 B",
        "  cost        1,000 requests, 0.005 USD (estimated)",
        f"  growth      +1 objects, +1 B since {TODAY - timedelta(days=1)}",
    ]


def test_the_json_document_has_the_same(store: LocalStore, run: Callable[..., Outcome]) -> None:
    publish(store, "abc")
    listed_at = NOW - timedelta(hours=5)
    before = datetime.now(UTC) - listed_at
    found = document(run("status", "source", "--format", "json"))
    after = datetime.now(UTC) - listed_at
    assert found["state"] == "fine"
    assert found["newest"]["objects"] == 3
    age = found["newest"]["age_seconds"]
    assert before.total_seconds() - 1 < age < after.total_seconds() + 1
    assert (found["baseline"], found["held"], found["odd"], found["unfinished"]) == (
        None,
        [],
        [],
        [],
    )


@pytest.mark.parametrize(
    ("max_age", "code", "state"),
    [("4h", 1, "old"), ("299m", 1, "old"), ("6h", 0, "fine"), ("1d", 0, "fine")],
)
def test_a_state_older_than_the_maximum_is_too_old(
    store: LocalStore, run: Callable[..., Outcome], max_age: str, code: int, state: str
) -> None:
    publish(store, "abc")
    outcome = run("status", "--max-age", max_age, "--format", "json")
    assert (outcome.code, document(outcome)["state"]) == (code, state)


def test_without_an_inventory_a_source_is_not_fine(run: Callable[..., Outcome]) -> None:
    outcome = run("status")
    assert outcome.code == 1
    assert outcome.output.decode().splitlines() == [
        "source: missing",
        "  newest      none; no date is published",
    ]


def test_a_held_date_is_shown_with_the_reason_and_the_way_out(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    publish(store, "abc")
    assert publish(store, "abcd", failed=50)
    outcome = run("status")
    assert outcome.code == 1
    text = outcome.output.decode()
    assert text.startswith("source: held\n")
    assert f"  held        {TODAY}, since " in text
    assert "50 of 1,000 requests failed, 5.00% of them; the bound is 0.8 %" in text
    assert f'inventory release source@{TODAY} --because "..."' in text
    assert "  holds       3 objects" in text, "the published one"


def test_a_released_date_shows_who_released_it_and_why(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    assert publish(store, "abcd", failed=50)
    release_date(store, LAYOUT, TODAY, "ada", "only slow", lambda: NOW)
    outcome = run("status")
    assert outcome.code == 0
    assert "  released    by ada, because: only slow" in outcome.output.decode()


def test_a_release_that_was_killed_is_shown_with_what_to_do(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    assert publish(store, "abcd", failed=50)
    with pytest.raises(Killed):
        release_date(interrupted(store, 1, die), LAYOUT, TODAY, "ada", "only slow", lambda: NOW)
    outcome = run("status")
    text = outcome.output.decode()
    assert (outcome.code, text.partition("\n")[0]) == (1, "source: held")
    assert f"  released    {TODAY}, by ada at " in text
    assert "it is not published yet" in text
    assert f'inventory release source@{TODAY} --because "..."' in text
    [found] = document(run("status", "--format", "json"))["unfinished_releases"]
    assert (found["date"], found["released_by"], found["released_because"]) == (
        str(TODAY),
        "ada",
        "only slow",
    )
    assert run("release", f"source@{TODAY}", "--because", "again").code == 0
    assert run("status").code == 0


def test_a_fall_is_odd_but_fine(store: LocalStore, run: Callable[..., Outcome]) -> None:
    publish(store, "abcdefghijklmnopqrst", TODAY - timedelta(days=1))
    publish(store, "a")
    outcome = run("status")
    assert outcome.code == 0
    assert "  odd         the whole inventory fell by 95.0 % in objects" in outcome.output.decode()


def test_unfinished_listings_are_shown_with_the_age_of_the_last_checkpoint(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    publish(store, "abc")
    folder = LAYOUT.checkpoints(TODAY)
    for name, age in (("a.r-0001.json", 90), ("a.r-0002.json", 30), ("b.s-0001.json", 60)):
        at = datetime.now(UTC) - timedelta(seconds=age)
        record = Checkpoint("identity", at, at, (), 0, 0, {})
        store.publish(f"{folder}/{name}", CHECKPOINT.encode(record))
    store.publish(f"{folder}/c.t-0001.json", b"damaged")
    [found] = document(run("status", "--format", "json"))["unfinished"]
    assert (found["date"], found["listings"]) == (str(TODAY), 3)
    assert 30 <= found["last_checkpoint_age_seconds"] < 60
    assert "3 listing(s), last checkpoint " in run("status").output.decode()


def test_a_store_that_cannot_be_read_is_an_error_and_no_result(
    store: LocalStore, run: Callable[..., Outcome]
) -> None:
    publish(store, "abc")
    store.publish(LAYOUT.held(TODAY), b"{")
    outcome = run("status")
    assert outcome.code == 2
    assert "is no record of a held date that this version can read" in outcome.error


def test_an_unknown_source_is_an_error(run: Callable[..., Outcome]) -> None:
    outcome = run("status", "nothing")
    assert outcome.code == 2
    assert "no source is called 'nothing'" in outcome.error


@pytest.mark.parametrize("age", ["36", "h", "-1h", "0h", "1.5h", "36 h", "99999999d"])
def test_an_age_is_a_number_with_a_unit(run: Callable[..., Outcome], age: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run("status", "--max-age", age)
    assert stop.value.code == 2
