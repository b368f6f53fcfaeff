"""Metadata as readers see it: `Dataset.metadata`, and the view `metadata` of SQL."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from inventory_assets.inventory.errors import InventoryNotFound, QueryRefused
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.query.source_views import create_views
from inventory_assets.inventory.query.sql_query import sql_session
from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.fakes.object_server import ObjectServer
from inventory_assets_tests.inventory.metadata.object_days import Bucket
from inventory_assets_tests.inventory.samples import LAYOUT, NOW
from inventory_assets_tests.inventory.stores import bucket_store

KEYS = ["a/1", "a/2", "b/1", "root"]


@pytest.fixture(params=["folder", "bucket"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder whose name is hard to quote, and one in a bucket."""
    if request.param == "folder":
        return LocalStore(tmp_path / "it's [a] store")
    moto: Endpoint = request.getfixturevalue("moto")
    return bucket_store(moto)


@pytest.fixture
def publish(
    stored: Store,
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Dataset]]:
    """Publishes an inventory of some shards, with its metadata unless it is left out."""
    monkeypatch.setattr(local_store, "_flush", lambda _path: None)
    with ExitStack() as stack:

        def publish(*shards: Shard, collected: bool = True) -> Dataset:
            server = stack.enter_context(ObjectServer())
            bucket = Bucket(server, stored)
            for key in KEYS:
                bucket.put(key, key, headers={"x-amz-meta-name": key})
            snapshots = {}
            for shard in shards:
                snapshots[shard.prefix] = bucket.snapshot(shard)
                if collected:
                    bucket.collect(shard)
            publish_manifest(stored, LAYOUT, merge(stored, LAYOUT, "", snapshots, NOW))
            return Dataset.of_date(stored, LAYOUT)

        yield publish


SHARDS = (Shard("", ("a/",)), Shard("a/"))
OVERLAPPING = (Shard(""), Shard("a/"))
"""The prefix became a shard after the shard around it was listed on that date."""


def names(frame: pl.DataFrame) -> list[Any]:
    found = frame["user_metadata"].to_list()
    return [v["name"] if isinstance(v, dict) else v[0]["value"] for v in found]


def ask(inventory: Dataset, sql: str) -> list[dict[str, Any]]:
    create = partial(create_views, inventory=inventory, sql=sql)
    with sql_session(create, "FROM metadata") as session, session.reader(sql) as answer:
        rows: list[dict[str, Any]] = answer.read_all().to_pylist()
        return rows


@pytest.mark.parametrize("shards", [(Shard(""),), SHARDS, OVERLAPPING])
def test_there_is_one_row_for_each_object(
    publish: Callable[..., Dataset], shards: tuple[Shard, ...]
) -> None:
    inventory = publish(*shards)
    found = inventory.metadata().collect().sort("key")
    assert found["key"].to_list() == names(found) == KEYS
    sql = "SELECT key, user_metadata['name'] AS name FROM metadata ORDER BY key"
    assert [(row["key"], row["name"]) for row in ask(inventory, sql)] == [
        (key, key) for key in KEYS
    ]


def test_it_joins_the_inventory(publish: Callable[..., Dataset]) -> None:
    inventory = publish(*SHARDS)
    sql = "SELECT count(*) AS count FROM inventory JOIN metadata USING (key, e_tag)"
    assert ask(inventory, sql) == [{"count": 4}]
    joined = inventory.scan().join(inventory.metadata(), on=["key", "e_tag"]).collect()
    assert joined.height == 4


def test_a_prefix_reads_its_files_alone(publish: Callable[..., Dataset]) -> None:
    inventory = publish(*SHARDS).with_prefix("a/")
    assert [each.part.first_key for each in inventory.metadata_files()] == ["a/1"]
    assert inventory.metadata().collect()["key"].to_list() == ["a/1", "a/2"]


def test_without_metadata_the_other_views_can_be_queried(
    publish: Callable[..., Dataset],
) -> None:
    inventory = publish(*SHARDS, collected=False)
    with pytest.raises(InventoryNotFound, match="2 shard"):
        inventory.metadata()
    sql = "SELECT count(*) AS count FROM inventory WHERE key <> 'metadata'"
    assert ask(inventory, sql) == [{"count": 4}]
    with pytest.raises(QueryRefused, match="metadata"):
        ask(inventory, "SELECT key FROM metadata")


def test_a_folder_of_a_listing_has_no_metadata(tmp_path: Path) -> None:
    listing = Dataset(LocalStore(tmp_path), ())
    with pytest.raises(QueryRefused, match="no inventory of a source"):
        listing.metadata()
