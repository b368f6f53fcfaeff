import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.hygiene.survey import SurveyOptions, publish_report
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.cli.conftest import LATER, Outcome
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

Run = Callable[..., Outcome]
TODAY = DAY + timedelta(days=1)


def test_a_source_without_a_report_is_read_and_nothing_is_written(
    run: Run, published: Path
) -> None:
    before = sorted(published.rglob("*"))
    outcome = run("hygiene", "source")
    assert (outcome.code, outcome.error) == (0, "")
    text = outcome.output.decode()
    assert text.startswith(f"source on {TODAY}: {len(LATER)} objects, ")
    assert "Keys with control characters" in text
    assert "new\\nline" in text
    assert sorted(published.rglob("*")) == before


def test_json_is_the_whole_report_and_its_keys_are_exact(run: Run) -> None:
    report = json.loads(run("hygiene", f"source@{DAY}", "--format", "json").output)
    (control,) = (each for each in report["findings"] if each["name"] == "control_characters")
    assert control["objects"] == 2
    assert 0 < control["monthly_usd"] < 1e-8
    assert control["examples"] == ["new\nline", "tab\t\x1b[31m"]
    assert report["day"] == str(DAY)


def test_the_published_report_is_shown_unless_the_date_was_published_again(
    run: Run, published: Path
) -> None:
    store = LocalStore(published / "store")
    manifest = read_manifest(store, LAYOUT, DAY)
    assert manifest
    publish_report(store, LAYOUT, manifest, SurveyOptions(prices_label="from then"), NOW)
    try:
        assert b"cost: from then" in run("hygiene", f"source@{DAY}").output
        other = publish_report(store, LAYOUT, manifest, SurveyOptions(prices_label="x"), NOW)
        text = store.read(LAYOUT.hygiene(DAY))
        assert text
        stale = text.replace(other.manifest_identity.encode(), b"another")
        store.publish(LAYOUT.hygiene(DAY), stale)
        assert b"cost: estimated, prices of 20" in run("hygiene", f"source@{DAY}").output
    finally:
        store.remove_key(LAYOUT.hygiene(DAY))


def test_duplicates_are_searched_for_on_request(run: Run) -> None:
    report = json.loads(run("hygiene", "source", "--duplicates", "--format", "json").output)
    (found,) = (each for each in report["findings"] if each["name"] == "likely_duplicates")
    sizes = [len(key) for key in LATER]
    assert found["objects"] == len(sizes) - len(set(sizes))


@pytest.mark.parametrize("of_date", [False, True])
def test_a_folder_has_a_report(run: Run, published: Path, of_date: bool) -> None:
    folder = published / "store/bucket/source"
    path = folder / f"{DAY}T00-00Z" if of_date else folder
    outcome = run("hygiene", str(path))
    assert outcome.code == 0
    assert b" objects, " in outcome.output
