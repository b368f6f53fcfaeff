"""`inventory migrate-store`: a source continues at the destination, without listing past dates."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from pathlib import Path

import boto3
import polars as pl
import pytest
from botocore.config import Config as BotoConfig

from inventory_assets.cli import main
from inventory_assets.config import Config, Exports, StoreBucket
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.retention.collector import plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.wiring.results import open_results
from inventory_assets_tests.assets.test_changing_a_source import unchanged
from inventory_assets_tests.assets.world import TODAY, YESTERDAY, Buckets, World, noon

FIRST = TODAY - timedelta(days=2)
DAYS = {
    FIRST: {"a/1", "a/2", "b/1", "c/1", "root"},
    YESTERDAY: {"a/1", "a/2", "b/1", "b/2", "c/1", "root"},
    TODAY: {"a/1", "b/1", "b/2", "c/1", "root", "root2"},
}
CHANGES = {"a/2": "deleted", "root2": "created"}
CONFIG = """
store = "s3://{bucket}/daily"

[store_bucket]
endpoint_url = "{endpoint_url}"
region = "us-east-1"
addressing_style = "path"

[sources.src]
bucket = "memory"
"""


@pytest.fixture
def results(
    moto_bucket: Callable[[Iterable[str]], BucketConfig],
    monkeypatch: pytest.MonkeyPatch,
    no_aws_environment: None,  # noqa: ARG001
) -> StoreBucket:
    """A bucket for results."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    connection = moto_bucket([])
    return StoreBucket(
        bucket=connection.bucket,
        prefix="daily",
        endpoint_url=connection.endpoint_url,
        region="us-east-1",
        addressing_style="path",
    )


@pytest.fixture
def config(results: StoreBucket, tmp_path: Path) -> Path:
    """The configuration with the store on the bucket."""
    path = tmp_path / "new.toml"
    path.write_text(CONFIG.format(bucket=results.bucket, endpoint_url=results.endpoint_url))
    return path


@pytest.fixture
def listed(world: World, tmp_path: Path, buckets: Buckets) -> World:
    """A source with two dates in a folder, with further assets."""
    listed = World(tmp_path, world.instance, {**world.source.model_dump(), "exports": EXPORTS})
    for day in (FIRST, YESTERDAY):
        buckets.keys["memory"] = set(DAYS[day])
        listed.pass_day(day)
        for name in ("prefix_usage", "inventory_exports"):
            assert listed.run(name, str(day)).success
    buckets.keys["memory"] = set(DAYS[TODAY])
    return listed


EXPORTS = Exports(csv_inventory=True, files=("jsonl.gz",))


def at(world: World, store: Path | StoreBucket) -> World:
    """The same source with another store."""
    world.config = Config(store=store, sources=world.config.sources)
    world.set_day(TODAY)
    return world


def goes_on(moved: World, store: Store, buckets: Buckets) -> None:
    """List the third date; all three dates are as the bucket was, and nothing else is listed."""
    buckets.listed.clear()
    moved.pass_day(TODAY)
    assert unchanged(store, moved) == {"b/", "c/"}
    for name in ("prefix_usage", "inventory_exports"):
        assert moved.run(name, str(TODAY)).success
    for day, keys in DAYS.items():
        dataset = Dataset.of_date(store, moved.layout, day)
        assert dataset.scan().select(pl.col("key")).collect()["key"].to_list() == sorted(keys)
    found = Dataset.of_date(store, moved.layout, TODAY).changes(TODAY).collect()
    assert dict(zip(found["key"], found["change"], strict=True)) == CHANGES
    log = read_change_log(store, moved.layout, TODAY)
    assert log is not None
    assert log.baseline_day == YESTERDAY
    plan = plan_collection(store, moved.layout, Retention(), TODAY, noon(TODAY))
    assert (plan.removed, plan.waiting) == ((), ()), "each file is named"


def identities(store: Store, world: World, days: Iterable[date]) -> list[str]:
    found = [read_manifest(store, world.layout, day) for day in days]
    return [manifest.identity for manifest in found if manifest]


def test_a_store_is_migrated_from_a_folder_to_a_bucket(
    listed: World,
    config: Path,
    results: StoreBucket,
    buckets: Buckets,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = listed.store.root
    assert main(["migrate-store", str(folder), str(config), "--dry-run"]) == 0
    assert "sources: memory/src\nto copy or compare: " in capsys.readouterr().out
    assert main(["migrate-store", str(folder), str(config)]) == 0
    assert "sources: memory/src\ncopied: " in capsys.readouterr().out
    store = open_results(results)
    before = identities(listed.store, listed, (FIRST, YESTERDAY))
    assert identities(store, listed, (FIRST, YESTERDAY)) == before
    assert len(before) == 2
    assert main(["migrate-store", str(folder), str(config)]) == 0
    assert "copied: 0 files, 0 B; there already: " in capsys.readouterr().out
    listed.store.remove()
    goes_on(at(listed, results), store, buckets)


def test_a_store_is_migrated_from_a_bucket_to_a_folder(
    listed: World, config: Path, buckets: Buckets, tmp_path: Path
) -> None:
    assert main(["migrate-store", str(listed.store.root), str(config)]) == 0
    listed.store.remove()
    folder = tmp_path / "back"
    assert main(["migrate-store", str(config), str(folder)]) == 0
    moved = at(listed, folder)
    goes_on(moved, LocalStore(folder), buckets)


def test_stores_of_one_place_are_refused(
    listed: World, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(listed.store.root)
    for places in ([folder, folder], [folder, f"{folder}/memory"], [str(config), str(config)]):
        assert main(["migrate-store", *places]) == 1
        assert "one store is within the other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "there"], "holds no source with a source.json"),
        (["s3://", "there"], "expected the path of a folder, or s3:// with a bucket and a prefix"),
        (["missing.toml", "there"], "missing.toml"),
    ],
)
def test_a_mistaken_place_is_named(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["migrate-store", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_migration_that_was_killed_continues(
    listed: World, config: Path, results: StoreBucket, buckets: Buckets
) -> None:
    command = [sys.executable, "-m", "inventory_assets.cli", "migrate-store", "--parallel", "1"]
    client = boto3.client(
        "s3",
        endpoint_url=results.endpoint_url,
        region_name="us-east-1",
        config=BotoConfig(s3={"addressing_style": "path"}),
    )

    def there() -> int:
        found = client.list_objects_v2(Bucket=results.bucket, Prefix="daily/memory/")
        return int(found["KeyCount"])

    process = subprocess.Popen(
        [*command, str(listed.store.root), str(config)], env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        while there() < 5:
            assert process.poll() is None, "it was not killed before its end"
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    store = open_results(results)
    assert 5 <= there() < sum(1 for _ in listed.store.files("memory"))
    assert main(["migrate-store", str(listed.store.root), str(config)]) == 0
    listed.store.remove()
    goes_on(at(listed, results), store, buckets)
