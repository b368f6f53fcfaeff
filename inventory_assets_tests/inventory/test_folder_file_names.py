"""A complete listing gives its files their final names in the folder."""

from pathlib import Path

import pytest

from inventory_assets.inventory.errors import CorruptRecord, InventoryNotFound, StoreError
from inventory_assets.inventory.folder_listing import folder_listing
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER
from inventory_assets.inventory.folder_listing.folder_records import Listing
from inventory_assets.inventory.folder_listing.range_listing import FolderWork
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets_tests.inventory.killed_folder_listings import (
    KEYS_OF,
    fill,
    keys_in,
    kill,
    kill_finished,
    tree,
)
from inventory_assets_tests.inventory.killed_listings import small_files


@pytest.mark.parametrize("moved", [0, 2])
def test_a_part_that_is_missing_is_an_error_and_not_a_shorter_result(
    moved: int, tmp_path: Path
) -> None:
    kill_finished(tmp_path, moved=moved)
    part = next((tmp_path / WORK_FOLDER).rglob("*.parquet"))
    part.unlink()
    before = tree(tmp_path)
    with pytest.raises(CorruptRecord, match=f"{part.name} is missing"):
        fill(tmp_path)
    assert tree(tmp_path) == before


def test_a_renamed_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    kill_finished(tmp_path, moved=2)
    (tmp_path / "part-00001.parquet").unlink()
    with pytest.raises(CorruptRecord, match="is missing"):
        fill(tmp_path)


@small_files()
def test_a_part_removed_before_the_listing_is_complete_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_all = folder_listing._list

    def listed(work: FolderWork) -> Listing:
        found = list_all(work)
        work.store.path(found.parts[1].key).unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(folder_listing, "_list", listed)
        with pytest.raises(CorruptRecord, match="is missing") as missed:
            fill(tmp_path)
    assert "objects are kept" in missed.value.__notes__[0]
    fill(tmp_path)
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


@pytest.mark.parametrize("name", ["part-00002.parquet", "mine.parquet"])
def test_a_foreign_file_is_neither_replaced_nor_included(name: str, tmp_path: Path) -> None:
    kill_finished(tmp_path, moved=1)
    (tmp_path / name).write_bytes(b"mine")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=f"{name} does not belong to the listing"):
        fill(tmp_path)
    assert tree(tmp_path) == before
    (tmp_path / name).unlink()
    fill(tmp_path)
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_a_foreign_file_that_appears_late_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Path.hardlink_to

    def linked(self: Path, target: Path) -> None:
        if self.name == "part-00002.parquet":
            self.write_bytes(b"mine")
        link(self, target)

    with small_files(), monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", linked)
        with pytest.raises(StoreError, match=r"part-00002\.parquet does not belong to the listing"):
            fill(tmp_path)
    assert (tmp_path / "part-00002.parquet").read_bytes() == b"mine"


def test_where_files_cannot_be_linked_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: Path, _target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with small_files():
        fill(tmp_path)
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_reading_a_folder_with_unnamed_files_is_an_error(
    tmp_path: Path,
) -> None:
    kill_finished(tmp_path, moved=2)
    with pytest.raises(InventoryNotFound, match=r"is not finished; .* resume"):
        Dataset.at(tmp_path)
    fill(tmp_path)
    assert Dataset.at(tmp_path).bucket == "one"


def test_other_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    kill(tmp_path, 14)
    scratch = tmp_path / WORK_FOLDER / ".scratch" / "tmp1"
    scratch.mkdir(parents=True)
    (scratch / "part.parquet").write_bytes(b"half")
    (tmp_path / ".inventory-finished" / "data").mkdir(parents=True)
    with small_files():
        fill(tmp_path)
    assert all(path.name.startswith("part-") for path in tmp_path.iterdir())
