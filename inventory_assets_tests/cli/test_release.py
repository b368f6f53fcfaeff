"""`inventory release`."""

import getpass
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inventory_assets.inventory.gate.held_date import read_held
from inventory_assets.inventory.gate.publication import begin_date, publish_or_hold
from inventory_assets.inventory.gate.verdict import GateBounds
from inventory_assets.inventory.manifest.manifest_merge import merge, read_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of


def hold(store: LocalStore) -> None:
    """Hold a date, as half of its requests failed."""
    snapshot = snapshot_of(store, Shard("", ()), listed("abc"))
    found = {"": replace(snapshot, requests=100, faults={"throttled": 50})}
    begun = begin_date(store, LAYOUT, DAY, NOW)
    manifest = merge(store, LAYOUT, "", found, NOW)
    assert publish_or_hold(store, LAYOUT, manifest, found, GateBounds(0.8, 150), begun, NOW).is_held


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "inventory.toml").write_text('store = "store"\n[sources.source]\nbucket = "bucket"\n')
    return folder


def test_a_held_date_is_published_once_and_who_and_why_is_kept(
    published: Path, run: Callable[..., Outcome]
) -> None:
    store = LocalStore(published / "store")
    hold(store)
    outcome = run("release", f"source@{DAY}", "--because", "only slow")
    assert outcome.code == 0
    assert outcome.output == b"source@2026-05-05 is published: 3 records, as they were held\n"
    assert read_held(store, LAYOUT, DAY) is None
    manifest = read_manifest(store, LAYOUT, DAY)
    assert manifest is not None
    assert manifest.release is not None
    assert (manifest.release.released_by, manifest.release.because) == (
        getpass.getuser(),
        "only slow",
    )
    again = run("release", f"source@{DAY}", "--because", "again")
    assert again.code == 1
    assert "source on 2026-05-05 is not held" in again.error
    assert "released it at" in again.error


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("source@2026-13-01", "is not a date"),
        ("other@2026-05-05", "no source is called 'other'"),
        ("source@2026-05-06", "is not held, and not published either"),
    ],
)
def test_an_address_that_names_no_held_date_is_an_error(
    run: Callable[..., Outcome], address: str, message: str
) -> None:
    outcome = run("release", address, "--because", "why not")
    assert outcome.code == 1
    assert message in outcome.error


@pytest.mark.parametrize("arguments", [["source", "--because", "x"], ["source@2026-05-05"]])
def test_a_release_names_a_date_and_a_reason(
    run: Callable[..., Outcome], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        run("release", *arguments)
    assert stop.value.code == 2
