"""The assets of a source, with their results on a bucket instead of in a folder."""

import json
import signal
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

from inventory_assets.cli import main
from inventory_assets.config import Config, Exports, StoreBucket
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.resources import Clock
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.changes.changed_records import read_changed_records
from inventory_assets.inventory.changes.shard_changes import read_changes
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, read_manifest
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.prefix_encoding import encode_prefix
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.wiring.results import open_results
from inventory_assets_tests.assets.world import (
    TODAY,
    YESTERDAY,
    Buckets,
    World,
    failure_text,
    materializations,
    metadata_of,
    noon,
)
from inventory_assets_tests.external_servers import REGION, Endpoint

LONG = "long/" + "x" * 900 + "/"
BEFORE = {"a/1", "a/2", "b/1", "root", f"{LONG}key"}
AFTER = BEFORE - {"a/2"} | {"b/2"}
EXPORTS = Exports(csv_inventory=True, files=("jsonl.gz",))


@pytest.fixture(scope="module")
def results(ministack: Endpoint) -> Iterator[StoreBucket]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ministack.account.environment.items():
            patch.setenv(name, value)
        yield StoreBucket(
            bucket=ministack.make_bucket("results-of-assets"),
            prefix="daily/inventories",
            endpoint_url=ministack.url,
            region=REGION,
            addressing_style="path",
        )


@pytest.fixture(scope="module")
def both(
    results: StoreBucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, World]]:
    """Two days of one bucket in memory: the results on a bucket, and in a folder."""
    folder = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        buckets = Buckets(patch)
        worlds = []
        for store in (results, folder / "store"):
            world = World(folder, instance, {"bucket": "memory", "exports": EXPORTS})
            world.config = Config(store=store, sources=world.config.sources)
            for day, keys in ((YESTERDAY, BEFORE), (TODAY, AFTER)):
                buckets.keys["memory"] = set(keys)
                world.pass_day(day)
                assert world.run("inventory_exports", str(day)).success
            worlds.append(world)
        yield worlds[0], worlds[1]


@pytest.fixture
def world(both: tuple[World, World]) -> World:
    return both[0]


@pytest.fixture
def store(results: StoreBucket, both: tuple[World, World]) -> BucketStore:  # noqa: ARG001
    opened = open_results(results)
    assert isinstance(opened, BucketStore)
    return opened


def contents(store: BucketStore, prefix: str) -> dict[str, bytes]:
    """All objects of the store, by key within it."""
    client = store._objects._client
    pages = client.get_paginator("list_objects_v2").paginate(
        Bucket="results-of-assets", Prefix=f"{prefix}/"
    )
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    return {
        key.removeprefix(f"{prefix}/"): client.get_object(Bucket="results-of-assets", Key=key)[
            "Body"
        ].read()
        for key in keys
    }


def test_the_bytes_are_those_of_a_folder(
    both: tuple[World, World], store: BucketStore, results: StoreBucket
) -> None:
    folder = both[1].store.root
    local = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    on_bucket = contents(store, results.prefix)
    assert on_bucket.keys() == local.keys()
    # A run record says how long each listing took.
    comparable = {key for key in local if "/runs/" not in key}
    differing = {Path(key).name for key in comparable if on_bucket[key] != local[key]}
    assert differing == {"inventory.json", "manifest.json", "manifest.checksum", "symlink.txt"}
    parts = {key for key in local if key.endswith(".parquet")}
    assert len(parts) > 5


@pytest.mark.parametrize("name", ["src", "src-csv"])
def test_the_manifest_leads_readers_of_s3_inventory_to_the_files(
    store: BucketStore, name: str
) -> None:
    layout = Layout("memory", name)
    document = json.loads(store.read(layout.s3_manifest(TODAY)) or b"")
    assert document["destinationBucket"] == "arn:aws:s3:::results-of-assets"
    client = store._objects._client
    for file in document["files"]:
        body = client.get_object(Bucket="results-of-assets", Key=file["key"])["Body"].read()
        assert file["size"] == len(body)
        assert file["MD5checksum"] == md5(body, usedforsecurity=False).hexdigest()


def uris(world: World, store: BucketStore) -> list[str]:
    return (store.read(world.layout.symlink(TODAY)) or b"").decode().splitlines()


def test_polars_reads_the_day_from_the_bucket(
    world: World, store: BucketStore, results: StoreBucket, ministack: Endpoint
) -> None:
    options = {
        "aws_endpoint_url": str(results.endpoint_url),
        "aws_region": REGION,
        "aws_access_key_id": ministack.account.access_key,
        "aws_secret_access_key": ministack.account.secret_key,
        "aws_allow_http": "true",
    }
    frame = pl.scan_parquet(uris(world, store), storage_options=options).select("key").collect()
    assert frame["key"].to_list() == sorted(AFTER)


@pytest.fixture
def dataset(
    world: World, store: BucketStore, results: StoreBucket, ministack: Endpoint
) -> ds.Dataset:
    """The day's files, opened by pyarrow where they lie."""
    bucket = fs.S3FileSystem(
        access_key=ministack.account.access_key,
        secret_key=ministack.account.secret_key,
        endpoint_override=str(results.endpoint_url),
        region=REGION,
    )
    files = [uri.removeprefix("s3://") for uri in uris(world, store)]
    return ds.dataset(files, filesystem=bucket)


def test_pyarrow_reads_the_day_from_the_bucket(dataset: ds.Dataset) -> None:
    assert dataset.to_table(columns=["key"])["key"].to_pylist() == sorted(AFTER)


def test_duckdb_reads_the_day_from_the_bucket(dataset: ds.Dataset) -> None:
    """Through pyarrow: its own reader of S3 is an extension, fetched from the network."""
    rows = duckdb.from_arrow(dataset).select("key").order("key").fetchall()
    assert [key for (key,) in rows] == sorted(AFTER)


def test_changes_are_compared_with_the_baseline_on_the_bucket(
    world: World, store: BucketStore
) -> None:
    counts = []
    for prefix in ("a/", "b/", "long/"):
        changes = read_changes(store, world.layout, TODAY, prefix)
        assert changes is not None
        counts.append((changes.counts[Change.DELETED], changes.counts[Change.CREATED]))
    assert counts == [(1, 0), (0, 1), (0, 0)]


def test_the_change_log_lists_files_on_the_bucket(
    world: World, store: BucketStore, results: StoreBucket
) -> None:
    log = read_change_log(store, world.layout, TODAY)
    assert log is not None
    assert (log.counts[Change.DELETED], log.counts[Change.CREATED]) == (1, 1)
    links = (store.read(world.layout.change_log_symlink(TODAY)) or b"").decode().splitlines()
    root = f"s3://results-of-assets/{results.prefix}/"
    assert links == [f"{root}{file}" for file in log.files]
    tables = (
        table
        for file in log.files
        for table in read_changed_records(store, file, [KeyRange.of_prefix("")])
    )
    changes = [change for table in tables for change in table.column("change").to_pylist()]
    assert sorted(changes) == ["created", "deleted"]


def test_metadata_has_the_locations_on_the_bucket(world: World) -> None:
    world.set_day(TODAY)
    outcome = world.run("inventory_manifest", str(TODAY))
    (event,) = materializations(outcome).values()
    assert metadata_of(event, "manifest") == (
        f"s3://results-of-assets/daily/inventories/{world.layout.s3_manifest(TODAY)}"
    )


def test_checks_read_the_files_on_the_bucket(world: World) -> None:
    outcome = world.run_check("inventory_manifest", "listing_complete", str(TODAY))
    assert outcome.success, failure_text(outcome)


def test_a_run_overtaken_by_another_fails_and_says_so(
    world: World, store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other run publishes while this one merges."""
    world.set_day(TODAY)
    runs: list[bool] = []

    def overtake(*arguments: Any, **options: Any) -> Manifest:
        merged = merge(*arguments, **options)
        if not runs:
            runs.append(True)
            world.definitions = build_definitions(world.config, Clock())
            assert world.run("inventory_manifest", str(TODAY)).success
        return merged

    monkeypatch.setattr("inventory_assets.defs.assets.manifest.merge", overtake)
    outcome = world.run("inventory_manifest", str(TODAY))
    assert not outcome.success
    assert "inventory.json was published by another run" in failure_text(outcome)
    published = read_manifest(store, world.layout, TODAY)
    assert published is not None
    assert published.created_at != noon(TODAY)


@pytest.fixture
def run(
    results: StoreBucket,
    both: tuple[World, World],  # noqa: ARG001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> Iterator[Callable[..., str]]:
    """Runs the command where the configuration names the bucket; its output."""
    (tmp_path / "inventory.toml").write_text(
        f"""
        store = "s3://{results.bucket}/{results.prefix}"
        [store_bucket]
        endpoint_url = "{results.endpoint_url}"
        region = "{results.region}"
        addressing_style = "path"
        [sources.src]
        bucket = "memory"
        """
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INVENTORY_CONFIG", raising=False)

    def command(*arguments: str) -> str:
        main(arguments)
        output, error = capfdbinary.readouterr()
        assert error == b""
        return output.decode()

    handler = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, handler)


def test_a_date_on_the_bucket_is_exported(run: Callable[..., str]) -> None:
    exported = run("export", f"src@{YESTERDAY}", "--dialect", "batch-operations")
    assert exported.splitlines() == [f"memory,{key}" for key in sorted(BEFORE)]


def test_two_dates_on_the_bucket_are_compared(run: Callable[..., str]) -> None:
    changes = run("diff", f"src@{YESTERDAY}", "src", "--format", "jsonl").splitlines()
    found = [(row["change"], row["key"]) for row in map(json.loads, changes)]
    assert found == [("deleted", "a/2"), ("created", "b/2")]


def test_the_newest_date_on_the_bucket_is_queried(run: Callable[..., str]) -> None:
    sql = "SELECT count(*) AS n FROM inventory WHERE key >= 'b'"
    expected = sum(key >= "b" for key in AFTER)
    assert run("query", "src", sql).splitlines() == ['"n"', str(expected)]


def test_long_prefixes_are_remembered_on_the_bucket(
    results: StoreBucket, tmp_path: Path, buckets: Buckets
) -> None:
    prefix = "y" * 900 + "/"
    buckets.keys["other"] = {f"{prefix}key"}
    with dg.DagsterInstance.ephemeral() as instance:
        world = World(tmp_path, instance, {"bucket": "other"})
        world.config = Config(store=results, sources=world.config.sources)
        world.pass_day(TODAY)
        assert encode_prefix(prefix) in world.shard_keys
        manifest = read_manifest(open_results(results), world.layout, TODAY)
    assert manifest is not None
    assert prefix in [entry.shard.prefix for entry in manifest.shards]
