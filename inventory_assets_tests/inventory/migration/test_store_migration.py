"""A store is copied whole, in an order in which no reader finds a record without its files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.errors import OtherFormat, StoreError
from inventory_assets.inventory.gate.held_date import read_held
from inventory_assets.inventory.listing.shared_work import SHARED_KINDS
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.snapshot import files_that_differ
from inventory_assets.inventory.migration.stages import STAGES, LeftOut, sha256_in, stage_of
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.inventory.migration.migrations import (
    OtherPlace,
    Stopped,
    content,
    migrate,
    migration,
    planned,
)
from inventory_assets_tests.upgrades.kept_stores import KeptStore


@pytest.fixture(scope="module")
def whole(kept: KeptStore, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The destination after a migration."""
    destination = OtherPlace(tmp_path_factory.mktemp("whole") / "there")
    migrate(kept.store, destination)
    return content(destination)


def test_every_kind_has_a_stage() -> None:
    staged = {kind for kinds in STAGES for kind in kinds}
    # That of the source is copied first; records of a listing that goes on are left out.
    assert staged == {*FileKind} - {FileKind.SOURCE, *SHARED_KINDS}


def test_all_files_are_copied_and_only_places_are_rewritten(
    kept: KeptStore, tmp_path: Path
) -> None:
    destination = OtherPlace(tmp_path / "there")
    progress = migrate(kept.store, destination)
    before, after = kept.content, content(destination)
    tombstones = {key for key in before if "/tombstones/" in key}
    assert tombstones
    assert after.keys() == before.keys() - tombstones
    differing = {key.rpartition("/")[2] for key in after if after[key] != before[key]}
    superseded = {f"{'0' * 32}.json"}
    assert differing - superseded == {
        "inventory.json",
        "manifest.json",
        "manifest.checksum",
        "symlink.txt",
        "held.json",
    }
    assert progress.copied == sum(not key.endswith("/source.json") for key in after)
    assert (progress.present, progress.gone, progress.missing) == (0, 0, 0)


def test_rewritten_records_name_the_new_place_and_are_complete(
    kept: KeptStore, tmp_path: Path
) -> None:
    destination = OtherPlace(tmp_path / "there")
    migrate(kept.store, destination)
    for name in kept.sources:
        layout = kept.layout(name)
        for day in kept.dates:
            earlier = read_manifest(kept.store, layout, day)
            manifest = read_manifest(destination, layout, day)
            assert earlier is not None
            assert manifest == replace(earlier, destination=destination.destination)
            assert manifest.identity == earlier.identity
            for links, parts in (
                (layout.symlink(day), [part.key for part in manifest.parts]),
                (layout.change_log_symlink(day), list(log_files(destination, kept, name, day))),
            ):
                lines = (destination.read(links) or b"").decode().splitlines()
                assert lines == [destination.uri(key) for key in parts]
            csv = (destination.read(layout.csv.s3_manifest(day)) or b"").decode()
            assert f'"daily/{layout.csv.base}/data/' in csv


def log_files(store: Store, kept: KeptStore, name: str, day: Any) -> tuple[str, ...]:
    log = read_change_log(store, kept.layout(name), day)
    assert log is not None
    return tuple(log.files)


def test_a_held_date_stays_held(kept: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    migrate(kept.store, destination)
    layout = kept.layout("held")
    before = read_held(kept.store, layout, kept.last)
    after = read_held(destination, layout, kept.last)
    assert before is not None
    assert after is not None
    assert after.manifest[0].identity == before.manifest[0].identity
    assert after.sentences == before.sentences


def test_back_again_all_files_are_as_they_were(kept: KeptStore, tmp_path: Path) -> None:
    there, back = OtherPlace(tmp_path / "there"), LocalStore(tmp_path / "back")
    migrate(kept.store, there)
    migrate(there, back)
    after = content(back)
    for key, data in after.items():
        before = kept.store.read(key) or b""
        if key.endswith("symlink.txt"):
            names = [line.rpartition("/")[2] for line in data.decode().splitlines()]
            assert names == [line.rpartition("/")[2] for line in before.decode().splitlines()]
        elif key.endswith(".json"):
            assert json.loads(data) == json.loads(before), key
        else:
            assert data == before, key


@pytest.mark.parametrize("writes", [0, 1, 7, 40, 80, 110, 130, 150, 170, 190, 200])
def test_wherever_it_is_killed_nothing_lacks_its_files_and_the_next_one_continues(
    kept: KeptStore, whole: dict[str, bytes], tmp_path: Path, writes: int
) -> None:
    killed = OtherPlace(tmp_path / "there", writes)
    with pytest.raises(Stopped):
        migrate(kept.store, killed, parallel=1)
    opened = OtherPlace(tmp_path / "there")
    for name in kept.sources:
        layout = kept.layout(name)
        for day in kept.dates:
            manifest = read_manifest(opened, layout, day)
            assert manifest is None or not files_that_differ(opened, manifest.parts)
            log = read_change_log(opened, layout, day)
            assert log is None or all(opened.size(file) is not None for file in log.files)
            assert log is None or manifest is not None
    progress = migrate(kept.store, opened)
    assert not {*opened.written} & {*killed.written}, "what is there is not copied again"
    records = [key for key in killed.written if key.endswith("/source.json")]
    assert progress.present == len(killed.written) - len(records)
    assert content(opened) == whole


def test_the_second_migration_copies_what_came_meanwhile(source: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    layout, day = source.layout("objects"), source.last
    late = {
        key: data for key, data in source.content.items() if key.startswith(f"{layout.base}/{day}T")
    }
    for key in late:
        source.store.remove_key(key)
    migrate(source.store, destination)
    assert read_manifest(destination, layout, day) is None
    for key, data in late.items():
        source.store.publish(key, data)
    destination.written.clear()
    progress = migrate(source.store, destination)
    assert {*destination.written} == {*late}
    assert progress.copied == len(late)
    assert read_manifest(destination, layout, day) is not None


def test_files_that_are_published_while_it_runs_are_there_before_their_records(
    source: KeptStore, tmp_path: Path
) -> None:
    """A run publishes between the plan and the copy: first a part, then a manifest with it."""
    destination = OtherPlace(tmp_path / "there")
    layout, day = source.layout("objects"), source.last
    manifest = read_manifest(source.store, layout, day)
    assert manifest is not None
    part = manifest.parts[0]
    data = source.store.read(part.key) or b""
    source.store.remove_key(part.key)
    with migration(source.store, destination) as opened:
        opened.plan()
        source.store.publish(part.key, data)
        opened.run()
    assert destination.read(part.key) == data
    assert opened.progress.missing == 0


def test_files_that_are_missing_in_the_source_are_named(source: KeptStore, tmp_path: Path) -> None:
    layout = source.layout("objects")
    manifest = read_manifest(source.store, layout, source.last)
    assert manifest is not None
    source.store.remove_key(manifest.parts[0].key)
    progress = migrate(source.store, OtherPlace(tmp_path / "there"))
    assert progress.missing > 0
    assert {*progress.examples} == {manifest.parts[0].key}


def test_a_file_that_is_removed_while_it_runs_is_no_error(
    source: KeptStore, tmp_path: Path
) -> None:
    destination = OtherPlace(tmp_path / "there")
    key = source.layout("objects").hygiene(source.last)
    with migration(source.store, destination) as opened:
        opened.plan()
        source.store.remove_key(key)
        opened.run()
    assert opened.progress.gone == 1
    assert destination.read(key) is None


def test_a_damaged_file_is_not_copied(source: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    layout = source.layout("objects")
    manifest = read_manifest(source.store, layout, source.last)
    assert manifest is not None
    key = manifest.parts[0].key
    data = bytearray(source.store.read(key) or b"")
    data[10] ^= 1
    source.store.publish(key, bytes(data))
    with pytest.raises(StoreError, match=r"is damaged: its content .* migrate again"):
        migrate(source.store, destination)
    assert destination.read(key) is None
    assert read_manifest(destination, layout, source.last) is None


def test_a_file_of_another_size_at_the_destination_is_copied_again(
    source: KeptStore, tmp_path: Path
) -> None:
    destination = OtherPlace(tmp_path / "there")
    migrate(source.store, destination)
    key = next(key for key in source.content if sha256_in(key))
    destination.publish(key, b"cut")
    assert migrate(source.store, destination).copied == 1
    assert destination.read(key) == source.store.read(key)


def test_one_source_can_be_copied_alone(kept: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    plan = planned(kept.store, destination, only="objects")
    assert plan.sources == (f"{kept.bucket}/objects",)
    migrate(kept.store, destination, only="objects")
    folders = {key.split("/")[1] for key in content(destination)}
    assert folders == {"objects", "objects-csv"}
    with pytest.raises(StoreError, match=r"holds no source 'other' with a source.json"):
        planned(kept.store, destination, only="other")


def test_a_plan_writes_nothing(kept: KeptStore, tmp_path: Path) -> None:
    destination = OtherPlace(tmp_path / "there")
    plan = planned(kept.store, destination)
    files = {key: data for key, data in kept.content.items() if isinstance(stage_of(key), int)}
    assert (plan.files, plan.bytes) == (len(files), sum(map(len, files.values())))
    assert plan.left_out == {LeftOut.TOMBSTONE: 1}
    assert not destination.root.exists()


def test_files_of_iceberg_tables_are_left_and_counted(source: KeptStore, tmp_path: Path) -> None:
    key = f"{source.layout('objects').iceberg('inventory')}/metadata/1.metadata.json"
    source.store.publish(key, b"{}")
    plan = planned(source.store, OtherPlace(tmp_path / "there"))
    assert plan.left_out == {LeftOut.TOMBSTONE: 1, LeftOut.ICEBERG: 1}


def test_records_of_an_unknown_kind_are_not_left_behind(source: KeptStore, tmp_path: Path) -> None:
    source.store.publish(f"{source.layout('objects').base}/new/dt=2100-01-01/x.json", b"{}")
    with pytest.raises(OtherFormat, match="upgrade inventory-assets"):
        planned(source.store, OtherPlace(tmp_path / "there"))
