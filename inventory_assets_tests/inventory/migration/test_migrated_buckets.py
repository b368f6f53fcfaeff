"""A migration to, between and from buckets of each S3 server; `assets/` has moto."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inventory_assets.inventory.gate.held_date import read_held
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import files_that_differ
from inventory_assets.inventory.migration.file_copier import MigrationProgress
from inventory_assets.inventory.migration.file_table import FileTable
from inventory_assets.inventory.migration.store_migration import StoreMigration
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.conftest import CEPH, SWIFT
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.stores import bucket_store
from inventory_assets_tests.upgrades.kept_stores import EVERY_KIND, KeptStore, kept_store

HALF = 130
"""Of the files of the kept store."""


class Killed(Exception):
    """The process was killed."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptStore:
    """A store with every kind of record."""
    return kept_store(EVERY_KIND, tmp_path_factory.mktemp("kept") / "store")


def migrate(
    source: Store, destination: Store, table: Path, most: int | None = None
) -> MigrationProgress:
    """Migrate all sources; `most` is the number of files after which the process is killed."""

    def report(progress: MigrationProgress) -> None:
        if most is not None and progress.files >= most:
            raise Killed

    with FileTable(table) as files:
        migration = StoreMigration(source, destination, files)
        migration.plan()
        migration.run(report)
        return migration.progress


def content(store: Store) -> dict[str, object]:
    """All files by key; those of `json` as values, because 0.00009 may be written as 9e-05."""
    found = {file.key: store.read(file.key) or b"" for file in store.files("")}
    return {key: json.loads(data) if key.endswith(".json") else data for key, data in found.items()}


def is_the_kept_store(store: Store, kept: KeptStore) -> None:
    """Every date is complete, names this place, and has the keys that its bucket had."""
    for name in kept.sources:
        layout = kept.layout(name)
        for day in kept.dates:
            earlier, manifest = (
                read_manifest(kept.store, layout, day),
                read_manifest(store, layout, day),
            )
            assert earlier is not None
            assert manifest == replace(earlier, destination=store.destination)
            assert files_that_differ(store, manifest.parts) == []
            lines = (store.read(layout.symlink(day)) or b"").decode().splitlines()
            assert lines == [store.uri(part.key) for part in manifest.parts]
    layout = kept.layout("objects")
    for day, keys in kept.dates.items():
        found = Dataset.of_date(store, layout, day).scan().select("key").collect()
        assert found["key"].to_list() == sorted(keys)
    held = kept.layout("held")
    before, after = read_held(kept.store, held, kept.last), read_held(store, held, kept.last)
    assert before is not None
    assert after is not None
    assert after.manifest[0].identity == before.manifest[0].identity


@pytest.fixture(params=["ministack", "seaweedfs", CEPH, SWIFT])
def buckets(request: pytest.FixtureRequest) -> tuple[BucketStore, BucketStore]:
    """Two empty stores on one server."""
    endpoint: Endpoint = request.getfixturevalue(request.param)
    return bucket_store(endpoint), bucket_store(endpoint)


def test_a_store_goes_from_a_folder_over_two_buckets_and_back(
    kept: KeptStore, buckets: tuple[BucketStore, BucketStore], tmp_path: Path
) -> None:
    first, second = buckets
    back = LocalStore(tmp_path / "back")
    migrate(kept.store, back, tmp_path / "files")
    directly = content(back)
    shutil.rmtree(back.root)
    for number, (source, destination) in enumerate(
        [(kept.store, first), (first, second), (second, back)]
    ):
        done = migrate(source, destination, tmp_path / f"files-{number}")
        assert (done.present, done.gone, done.missing) == (0, 0, 0)
        again = migrate(source, destination, tmp_path / f"again-{number}")
        assert (again.copied, again.present) == (0, done.copied)
        is_the_kept_store(destination, kept)
    assert content(back) == directly, "as if it had gone there at once"


def test_a_migration_between_buckets_that_was_killed_continues(
    kept: KeptStore, buckets: tuple[BucketStore, BucketStore], tmp_path: Path
) -> None:
    first, second = buckets
    migrate(kept.store, first, tmp_path / "first")
    with pytest.raises(Killed):
        migrate(first, second, tmp_path / "killed", HALF)
    for name in kept.sources:
        for day in kept.dates:
            manifest = read_manifest(second, kept.layout(name), day)
            assert manifest is None or not files_that_differ(second, manifest.parts)
    done = migrate(first, second, tmp_path / "second")
    assert done.present >= HALF
    is_the_kept_store(second, kept)
