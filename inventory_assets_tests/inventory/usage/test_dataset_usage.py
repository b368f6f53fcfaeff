"""The usage of a dataset, in a folder and in a bucket."""

from pathlib import Path

import polars as pl
import pytest

from inventory_assets.inventory.errors import InventoryNotFound, QueryRefused
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import publish_usage
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA, USAGE_SCHEMA
from inventory_assets_tests.inventory.histories import publish_day
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW
from inventory_assets_tests.inventory.stores import bucket_store

KEYS = {"a/1", "a/b/2", "c"}


@pytest.fixture(params=["folder", "bucket"])
def any_store(request: pytest.FixtureRequest, store: LocalStore) -> Store:
    return store if request.param == "folder" else bucket_store(request.getfixturevalue("moto"))


def test_both_tables_are_frames(any_store: Store) -> None:
    publish_day(any_store, DAY, KEYS)
    dataset = Dataset.of_date(any_store, LAYOUT)
    usage = dataset.usage()
    assert usage.collect_schema().names() == USAGE_SCHEMA.names
    whole = usage.filter(pl.col("prefix") == "").select(pl.sum("objects", "bytes")).collect()
    assert whole.rows() == [(len(KEYS), sum(map(len, KEYS)))]
    prefixes = dataset.usage_by_prefix()
    assert prefixes.collect_schema().names() == PREFIX_SCHEMA.names
    assert prefixes.select("prefix", "objects").collect().rows() == [
        ("", 3),
        ("a/", 2),
        ("a/b/", 1),
    ]
    within = dataset.with_prefix("a/").usage_by_prefix()
    assert within.collect()["prefix"].to_list() == ["a/", "a/b/"]


def test_without_usage_the_error_says_what_to_do(store: LocalStore) -> None:
    manifest = publish_day(store, DAY, KEYS)
    store.remove_key(LAYOUT.usage(DAY))
    dataset = Dataset.of_date(store, LAYOUT)
    with pytest.raises(InventoryNotFound, match=f"on {DAY} was not published; materialize prefix_"):
        dataset.usage()
    publish_usage(store, LAYOUT, manifest, NOW)
    assert dataset.usage_by_prefix().collect().height == 3
    publish_day(store, DAY, KEYS | {"d"})
    publish_usage(store, LAYOUT, manifest, NOW)
    with pytest.raises(InventoryNotFound, match="is older than its inventory; materialize"):
        Dataset.of_date(store, LAYOUT).usage()


def test_a_folder_of_files_has_no_usage(tmp_path: Path) -> None:
    with pytest.raises(QueryRefused, match="is no inventory of a source, so it has no usage"):
        Dataset(LocalStore(tmp_path), ()).usage()
