import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage.date_usage import publish_usage
from inventory_assets_tests.cli.conftest import LATER, Outcome
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW

Run = Callable[..., Outcome]
TODAY = DAY + timedelta(days=1)


@pytest.fixture
def used(published: Path) -> Iterator[Path]:
    """The store, with the usage of both dates, which is removed afterwards."""
    store = LocalStore(published / "store")
    for day in (DAY, TODAY):
        manifest = read_manifest(store, LAYOUT, day)
        assert manifest is not None
        publish_usage(store, LAYOUT, manifest, NOW)
    yield published / "store"
    shutil.rmtree((published / "store" / LAYOUT.usage(DAY)).parents[1])


@pytest.mark.usefixtures("used")
def test_a_date_of_a_source_is_shown_with_its_changes_and_prices(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    outcome = run("report", "source", "-o", str(page))
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output.decode().startswith(f"{page}: ")
    text = page.read_text()
    assert f"Storage report of {TODAY}" in text
    assert f"since {DAY}" in text
    assert "us-east-1" in text
    assert f"inventory verify source@{TODAY}" in text
    assert run("report", f"source@{DAY}", "-o", str(page)).code == 0
    assert "This is the first date" in page.read_text()


def test_a_folder_of_a_date_is_shown_without_prices(run: Run, used: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    folder = used / LAYOUT.manifest(TODAY).rpartition("/")[0]
    assert run("report", str(folder), "-o", str(page)).code == 0
    text = page.read_text()
    assert f"since {DAY}" in text
    assert "us-east-1" not in text


def test_a_listing_in_a_folder_is_shown(run: Run, tmp_path: Path) -> None:
    page, listing = tmp_path / "report.html", tmp_path / "listing"
    listing.mkdir()
    assert run("export", "source", "-o", str(listing / "part-0.parquet")).code == 0
    outcome = run("report", str(listing), "-o", str(page))
    assert (outcome.code, outcome.error) == (0, "")
    text = page.read_text()
    assert f'<data value="{len(LATER)}">' in text
    assert "Keys with control characters" in text


def test_without_usage_the_remedy_is_said_and_nothing_is_written(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    outcome = run("report", "source", "-o", str(page))
    assert outcome.code == 1
    assert "materialize prefix_usage first" in outcome.error
    assert list(tmp_path.iterdir()) == []
