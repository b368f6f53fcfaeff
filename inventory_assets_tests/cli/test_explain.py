"""`inventory explain`: what limited a listing."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.gate.held_date import HELD, HeldDate
from inventory_assets.inventory.manifest.manifest_merge import publish_manifest, required_manifest
from inventory_assets.inventory.runs.date_run import publish_date_run
from inventory_assets.inventory.runs.shard_run import publish_shard_run
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.inventory.runs.samples import figures, shard_run
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

Run = Callable[..., Outcome]
SENTENCE = "The limit of requests in flight limited the listing: for 80.0 % of the time"


@pytest.fixture
def with_runs(published: Path) -> None:
    """Run records of all dates; on the last one, the shard `a/` is slower than before."""
    store = LocalStore(published / "store")
    for number in range(2):
        day = DAY + timedelta(days=number)
        for prefix in ("", "a/"):
            publish_shard_run(store, LAYOUT, replace(shard_run(prefix), day=day, finished_at=NOW))
        publish_date_run(store, LAYOUT, required_manifest(store, LAYOUT, day), NOW)
    for age in range(1, 4):
        earlier = replace(
            shard_run(found=figures(5.0), finished_at=NOW), day=DAY - timedelta(days=age)
        )
        manifest = replace(required_manifest(store, LAYOUT, DAY), day=earlier.day)
        publish_shard_run(store, LAYOUT, earlier)
        publish_date_run(store, LAYOUT, manifest, NOW)


@pytest.mark.usefixtures("with_runs")
def test_a_date_is_explained_by_a_sentence_and_its_numbers(run: Run) -> None:
    outcome = run("explain", f"source@{DAY}")
    assert (outcome.code, outcome.error) == (0, "")
    lines = outcome.output.decode().splitlines()
    assert lines[0].startswith(f"source on {DAY}: 20,000 records in 30.0 s, 24 requests")
    assert lines[1].startswith(SENTENCE)
    for title in (
        "where the time went",
        "pages by depth and latency",
        "the slowest ranges",
        "over time",
        "the shards that took longest",
    ):
        assert title in lines
    assert any("201 to 800 ms" in line and line.endswith(" 4") for line in lines)
    assert "1 shard(s) have no run record, and do not count" in lines
    assert any(line.startswith("worse than before: 'a/' took 30 s, 6.0 times") for line in lines)


@pytest.mark.usefixtures("with_runs")
def test_a_shard_is_explained_by_its_own_record(run: Run) -> None:
    outcome = run("explain", f"source@{DAY}", "--shard", "a/")
    assert outcome.code == 0
    text = outcome.output.decode()
    assert text.startswith(f"source on {DAY}, 'a/': 10,000 records in 30.0 s")
    assert SENTENCE in text
    assert "all other keys" in run("explain", "source", "--shard", "").output.decode()


@pytest.mark.usefixtures("with_runs")
def test_no_prefix_controls_the_terminal(run: Run) -> None:
    for arguments in ((), ("--shard", "a/"), ("--format", "json")):
        output = run("explain", f"source@{DAY}", *arguments).output
        assert b"\x1b" not in output
        assert b"a/<b>" in output


@pytest.mark.usefixtures("with_runs")
def test_json_is_the_whole_record_with_its_cause(run: Run) -> None:
    document = json.loads(run("explain", f"source@{DAY}", "--format", "json").output)
    assert document["cause"]["cause"] == "the limit"
    assert document["cause"]["seconds"] == {"the limit": 48.0, "CPU": 12.0}
    assert [each["prefix"] for each in document["shards"]] == ["", "a/"]
    assert document["regressions"][0]["prefix"] == "a/"
    shard = run("explain", f"source@{DAY}", "--shard", "a/", "--format", "json")
    assert json.loads(shard.output)["figures"]["maximum"] == 8


@pytest.mark.usefixtures("with_runs")
def test_a_shard_without_a_record_says_how_to_find_the_others(run: Run) -> None:
    outcome = run("explain", f"source@{DAY}", "--shard", "none/")
    assert outcome.code == 1
    assert "no run record" in outcome.error
    assert f"inventory explain source@{DAY}" in outcome.error


def test_a_date_without_a_record_says_how_to_get_one(run: Run, published: Path) -> None:
    store = LocalStore(published / "store")
    store.remove_key(LAYOUT.date_run(DAY))
    outcome = run("explain", f"source@{DAY}")
    assert outcome.code == 1
    assert "materialize inventory_manifest" in outcome.error


def test_a_path_is_refused(run: Run) -> None:
    outcome = run("explain", "./listing")
    assert outcome.code == 1
    assert "is a path" in outcome.error


@pytest.mark.usefixtures("with_runs")
def test_a_held_date_is_explained_although_it_is_not_published(run: Run, published: Path) -> None:
    store, day = LocalStore(published / "store"), DAY + timedelta(days=5)
    manifest = replace(required_manifest(store, LAYOUT, DAY), day=day)
    assert run("explain", f"source@{day}").code != 0
    record = HeldDate(day, NOW, NOW, NO_ETAG, (), (manifest,))
    publish(store, HELD.file(LAYOUT.held(day), record))
    publish_shard_run(store, LAYOUT, replace(shard_run("a/"), day=day, finished_at=NOW))
    publish_date_run(store, LAYOUT, manifest, NOW)
    for arguments in ((), ("--shard", "a/")):
        outcome = run("explain", f"source@{day}", *arguments)
        assert outcome.code == 0
        assert SENTENCE in outcome.output.decode()


@pytest.mark.usefixtures("with_runs")
@pytest.mark.parametrize("arguments", [(), ("--shard", "a/")])
def test_the_record_of_an_earlier_listing_explains_nothing(
    run: Run, published: Path, arguments: tuple[str, ...]
) -> None:
    store = LocalStore(published / "store")
    manifest = required_manifest(store, LAYOUT, DAY)
    shards = [replace(each, finished_at=NOW + timedelta(hours=1)) for each in manifest.shards]
    # Listed again, with the same content; the records of the runs could not be written.
    publish_manifest(store, LAYOUT, replace(manifest, shards=tuple(shards)))
    try:
        outcome = run("explain", f"source@{DAY}", *arguments)
        assert outcome.code == 1
        assert "has no run record for" in outcome.error
    finally:
        publish_manifest(store, LAYOUT, manifest)
