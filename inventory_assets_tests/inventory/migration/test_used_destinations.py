"""A destination that holds something already is used only if that is an earlier migration's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import OtherSource, StoreError
from inventory_assets.inventory.listing.source_record import SOURCE
from inventory_assets.inventory.manifest.manifest import MANIFEST
from inventory_assets.inventory.migration.stages import day_of
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.inventory.migration.migrations import OtherPlace, content, migrate
from inventory_assets_tests.upgrades.kept_stores import KeptStore


@pytest.mark.parametrize("change", [{"prefix": "other/"}, {"endpoint_url": "http://other"}])
def test_the_folder_of_another_source_is_refused(
    kept: KeptStore, tmp_path: Path, change: dict[str, str]
) -> None:
    destination = OtherPlace(tmp_path / "there")
    layout = kept.layout("objects")
    record = SOURCE.read(kept.store, layout.source_record)
    assert record is not None
    destination.publish(layout.source_record, SOURCE.encode(replace(record, **change)))
    before = content(destination)
    with pytest.raises(
        OtherSource, match=r"holds the inventories of .* choose another destination"
    ):
        migrate(kept.store, destination)
    assert content(destination) == before


def test_a_folder_of_nobody_is_refused(kept: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    destination.publish(kept.layout("objects").part("1" * 64), b"of whom?")
    with pytest.raises(OtherSource, match=r"no source.json that tells whose they are"):
        migrate(kept.store, destination)


def an_ended_listing(source: KeptStore) -> list[str]:
    """Its checkpoints are removed when it is published."""
    return [key for key in source.content if "/checkpoints/dt=" in key]


def superseded_inventories(source: KeptStore) -> list[str]:
    return [key for key in source.content if "/superseded/dt=" in key]


def the_first_date(source: KeptStore) -> list[str]:
    """All that a collection removes of an expired date."""
    first = min(source.dates)
    assert first < source.last
    return [key for key in source.content if day_of(key) == first]


@pytest.mark.parametrize("removed", [an_ended_listing, superseded_inventories, the_first_date])
def test_what_the_source_has_removed_since_does_not_hinder_the_second_migration(
    source: KeptStore, tmp_path: Path, removed: Callable[[KeptStore], list[str]]
) -> None:
    destination = OtherPlace(tmp_path / "there")
    migrate(source.store, destination)
    before = content(destination)
    keys = removed(source)
    assert keys
    for key in keys:
        source.store.remove_key(key)
    assert migrate(source.store, destination).copied == 0
    assert content(destination) == before


def newer(kept: KeptStore, destination: Store) -> str:
    """A manifest at the destination that was published after the migration."""
    key = kept.layout("objects").manifest(kept.last)
    manifest = MANIFEST.read(destination, key)
    assert manifest is not None
    later = replace(manifest, created_at=manifest.created_at.replace(year=2100))
    destination.publish(key, MANIFEST.encode(later))
    return key


def another_date(kept: KeptStore, destination: Store) -> str:
    layout = kept.layout("objects")
    key = layout.manifest(kept.last.replace(year=2100))
    destination.publish(key, destination.read(layout.manifest(kept.last)) or b"")
    return key


def another_shard(kept: KeptStore, destination: Store) -> str:
    """A shard of a date that the source has."""
    layout = kept.layout("objects")
    key = layout.snapshot(kept.last, "found/by/a/run/")
    destination.publish(key, destination.read(layout.snapshot(kept.last, "")) or b"")
    return key


@pytest.mark.parametrize("use", [newer, another_date, another_shard])
def test_a_destination_that_is_in_use_is_refused(
    kept: KeptStore, tmp_path: Path, use: Callable[[KeptStore, Store], str]
) -> None:
    destination = OtherPlace(tmp_path / "there")
    migrate(kept.store, destination)
    key = use(kept, destination)
    before = content(destination)
    with pytest.raises(StoreError, match="the destination is in use already") as refused:
        migrate(kept.store, destination)
    assert destination.where(key) in str(refused.value)
    assert content(destination) == before
