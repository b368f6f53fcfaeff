"""A folder contains one complete listing of what was requested, or an error explains why not."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import (
    CorruptRecord,
    FolderInUse,
    InventoryNotFound,
    OtherListing,
    StoreError,
)
from inventory_assets.inventory.folder_listing import folder_listing
from inventory_assets.inventory.folder_listing.folder_listing import FolderListing, list_into_folder
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER, locked
from inventory_assets.inventory.folder_listing.folder_records import Listing, interrupted_listing
from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import KEYS, Bucket, small_files
from inventory_assets_tests.inventory.samples import NOW

KEYS_OF = {"one": KEYS[:90], "two": KEYS[90:150]}
DAY = timedelta(days=1)


def bucket(name: str = "one") -> Bucket:
    opened = Bucket(KEYS_OF[name])
    opened.connection = BucketConfig(name, max_in_flight=4)
    return opened


def fill(
    folder: Path,
    name: str = "one",
    prefix: str = "",
    *,
    resume: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> FolderListing:
    return list_into_folder(bucket(name), prefix, folder, asked_for=[name], resume=resume, now=now)


def keys_in(folder: Path) -> list[str]:
    tables = [pq.read_table(file) for file in sorted(folder.glob("*.parquet"))]
    return [key for table in tables for key in table.column("key").to_pylist()]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class DeadStore(MortalStore):
    """Does not even clean up once its process is killed."""

    def remove(self) -> None:
        self._life.spend()
        super().remove()

    def remove_scratch(self) -> None:
        self._life.spend()
        super().remove_scratch()


@contextmanager
def living(life: Life) -> Iterator[None]:
    """A listing is killed when it has done so much, the names of its files included."""

    def mortal(name: str) -> Callable[..., object]:
        do = getattr(Path, name)

        def step(self: Path, *arguments: object, **options: object) -> object:
            if self.suffix == ".parquet" or self.name == WORK_FOLDER:
                life.spend()
            return do(self, *arguments, **options)

        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_listing, "LocalStore", lambda root: DeadStore(root, life))
        for name in ("hardlink_to", "unlink", "rename"):
            patch.setattr(Path, name, mortal(name))
        yield


def kill(folder: Path, left: int, name: str = "one", prefix: str = "") -> None:
    with small_files(), living(Life(left)), pytest.raises(Killed):
        fill(folder, name, prefix)


@pytest.fixture
def in_small_files() -> Iterator[None]:
    with small_files():
        yield


def kill_finished(folder: Path, name: str = "one", moved: int = 0) -> None:
    """Kill a listing that is whole, when some files have their names."""
    with small_files(), pytest.MonkeyPatch.context() as patch:
        link, life = Path.hardlink_to, Life(moved)

        def linked(self: Path, target: Path) -> None:
            if self.parent == folder:
                life.spend()
            link(self, target)

        patch.setattr(Path, "hardlink_to", linked)
        patch.setattr(folder_listing, "_resumed", lambda *_arguments: None)
        with pytest.raises(Killed):
            fill(folder, name)
    assert (folder / WORK_FOLDER / "finished.json").exists()
    assert len(list(folder.glob("*.parquet"))) == moved


# Two at once


def test_while_one_lists_into_a_folder_another_fails_and_changes_nothing(tmp_path: Path) -> None:
    kill(tmp_path, 14)
    with locked(tmp_path, utc_now):
        before = tree(tmp_path)
        for name in ("one", "two"):
            with pytest.raises(FolderInUse):
                fill(tmp_path, name)
        assert tree(tmp_path) == before
    with small_files():
        assert fill(tmp_path).rows == len(KEYS_OF["one"])


@pytest.mark.usefixtures("in_small_files")
def test_where_a_folder_is_renamed_meanwhile_nothing_is_done_to_what_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    list_all = folder_listing._list

    def listed(work: Work) -> Listing:
        found = list_all(work)
        if not elsewhere.exists():
            out.rename(elsewhere)
            fill(out, "two")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(folder_listing, "_list", listed)
        with pytest.raises(StoreError, match="was renamed, removed or replaced"):
            fill(out)
    assert keys_in(out) == sorted(KEYS_OF["two"])
    assert list(elsewhere.glob("*.parquet")) == []
    assert fill(elsewhere).rows == len(KEYS_OF["one"])


# Files of another listing


def test_a_finished_listing_of_another_bucket_is_not_taken_for_this_one(tmp_path: Path) -> None:
    kill_finished(tmp_path, "two", moved=1)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match=r"bucket 'two' .* not of bucket 'one' .* resume") as no:
        fill(tmp_path, "one")
    assert f"inventory resume {tmp_path}" in str(no.value)
    assert tree(tmp_path) == before
    assert fill(tmp_path, *interrupted_listing(tmp_path), resume=True).rows == len(KEYS_OF["two"])
    assert keys_in(tmp_path) == sorted(KEYS_OF["two"])
    assert all(path.name.startswith("part-") for path in tmp_path.iterdir())


def test_nor_is_one_of_another_prefix_or_of_versions(tmp_path: Path) -> None:
    kill_finished(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match="keys that start with 'a/'"):
        fill(tmp_path, prefix="a/")
    for versions in (Versions(), Versions(NOW)):
        with pytest.raises(OtherListing, match="versions"):
            list_into_folder(bucket(), "", tmp_path, versions=versions)
    assert tree(tmp_path) == before


def test_a_finished_listing_of_another_day_is_not_taken_for_now(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    kill_finished(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match="too old to be taken for the bucket as it is now"):
        fill(tmp_path, now=lambda: utc_now() + DAY)
    assert tree(tmp_path) == before
    logged.clear()
    fill(tmp_path, resume=True, now=lambda: utc_now() + 9 * DAY)
    assert "the listing was finished at 20" in logged.messages[0]
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_a_finished_listing_of_today_gets_its_names_and_says_of_when_it_is(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    kill_finished(tmp_path, moved=2)
    logged.clear()
    listing = fill(tmp_path)
    assert "the listing was finished at 20" in logged.messages[0]
    assert listing.files == tuple(sorted(tmp_path.glob("*.parquet")))
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_what_another_listing_keeps_is_not_thrown_away(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    kill(tmp_path, 14)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match=r"an unfinished listing of bucket 'one' .* remove"):
        fill(tmp_path, "two")
    assert tree(tmp_path) == before
    with small_files():
        logged.clear()
        fill(tmp_path)
    assert "objects of it are kept" in logged.messages[0]


@pytest.mark.usefixtures("in_small_files")
def test_where_another_listing_keeps_nothing_it_is_in_nobodys_way(tmp_path: Path) -> None:
    kill(tmp_path, 3)
    assert interrupted_listing(tmp_path) == ("one",)
    fill(tmp_path, "two")
    assert keys_in(tmp_path) == sorted(KEYS_OF["two"])


def test_one_by_another_version_of_the_program_is_said_to_be(tmp_path: Path) -> None:
    kill_finished(tmp_path)
    record = tmp_path / WORK_FOLDER / "finished.json"
    document = json.loads(record.read_bytes())
    document["listing"]["identity"] = "other"
    record.write_text(json.dumps(document))
    with pytest.raises(OtherListing, match="by another version of this program"):
        fill(tmp_path)
    fill(tmp_path, resume=True)
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"listing": 1', "\x00"])
@pytest.mark.parametrize("record", ["finished.json", "asked-for.json"])
def test_a_damaged_record_is_an_error_and_destroys_nothing(
    record: str, content: str, tmp_path: Path
) -> None:
    kill(tmp_path, 14)
    (tmp_path / WORK_FOLDER / record).write_text(content)
    before = tree(tmp_path)
    for resume in (False, True):
        with pytest.raises(CorruptRecord, match=rf"{record} is damaged or missing"):
            fill(tmp_path, resume=resume)
    assert tree(tmp_path) == before


# When files get their names


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


def test_a_file_that_has_its_name_and_is_gone_since_is_missed(tmp_path: Path) -> None:
    kill_finished(tmp_path, moved=2)
    (tmp_path / "part-00001.parquet").unlink()
    with pytest.raises(CorruptRecord, match="is missing"):
        fill(tmp_path)


@pytest.mark.usefixtures("in_small_files")
def test_a_part_that_is_gone_before_all_is_whole_is_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_all = folder_listing._list

    def listed(work: Work) -> Listing:
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
def test_a_file_of_somebody_else_is_neither_replaced_nor_mixed_in(
    name: str, tmp_path: Path
) -> None:
    kill_finished(tmp_path, moved=1)
    (tmp_path / name).write_bytes(b"mine")
    before = tree(tmp_path)
    with pytest.raises(StoreError, match=f"{name} is not of the listing"):
        fill(tmp_path)
    assert tree(tmp_path) == before
    (tmp_path / name).unlink()
    fill(tmp_path)
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_one_that_comes_at_the_last_moment_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Path.hardlink_to

    def linked(self: Path, target: Path) -> None:
        if self.name == "part-00002.parquet":
            self.write_bytes(b"mine")
        link(self, target)

    with small_files(), monkeypatch.context() as patch:
        patch.setattr(Path, "hardlink_to", linked)
        with pytest.raises(StoreError, match=r"part-00002\.parquet is not of the listing"):
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


def test_who_reads_a_folder_whose_files_have_not_all_their_names_is_reported(
    tmp_path: Path,
) -> None:
    kill_finished(tmp_path, moved=2)
    with pytest.raises(InventoryNotFound, match=r"is not finished; .* resume"):
        Dataset.at(tmp_path)
    fill(tmp_path)
    assert Dataset.at(tmp_path).bucket == "one"


def test_what_a_killed_run_left_beside_is_removed(tmp_path: Path) -> None:
    kill(tmp_path, 14)
    scratch = tmp_path / WORK_FOLDER / ".scratch" / "tmp1"
    scratch.mkdir(parents=True)
    (scratch / "part.parquet").write_bytes(b"half")
    (tmp_path / ".inventory-finished" / "data").mkdir(parents=True)
    with small_files():
        fill(tmp_path)
    assert all(path.name.startswith("part-") for path in tmp_path.iterdir())


# Kills and errors

STEPS = st.one_of(
    st.tuples(
        st.sampled_from(["one", "two"]),
        st.one_of(st.none(), st.integers(0, 32)),
        st.booleans(),
    ),
    st.tuples(st.just("resume"), st.one_of(st.none(), st.integers(0, 32)), st.booleans()),
)


@given(st.lists(STEPS, min_size=1, max_size=6))
@settings(max_examples=25)
def test_the_folder_holds_one_whole_listing_of_what_was_asked_for_or_an_error_is_raised(
    steps: list[tuple[str, int | None, bool]],
) -> None:
    with tempfile.TemporaryDirectory() as temporary, small_files():
        folder = Path(temporary) / "out"
        begun: str | None = None
        for step, life, is_later in steps:
            begun = _do(folder, step, life, is_later, begun)
            _holds_nothing_mixed(folder)
        if not any(folder.glob("*.parquet")) or (folder / WORK_FOLDER).exists():
            name = begun or "one"
            assert fill(folder, name, resume=begun is not None).rows == len(KEYS_OF[name])
            assert keys_in(folder) == sorted(KEYS_OF[name])
            assert all(path.name.startswith("part-") for path in folder.iterdir())


def _do(folder: Path, step: str, life: int | None, is_later: bool, begun: str | None) -> str | None:
    """Do a step; which listing is unfinished now, as the model has it."""
    resume = step == "resume"
    before = tree(folder)
    try:
        name = interrupted_listing(folder)[0] if resume else step
    except StoreError:
        assert begun is None
        return None
    if resume:
        assert name == begun
    now = (lambda: utc_now() + 2 * DAY) if is_later else utc_now
    try:
        with living(Life(float("inf") if life is None else life)):
            fill(folder, name, resume=resume, now=now)
    except Killed:
        left = folder / WORK_FOLDER / "asked-for.json"
        return interrupted_listing(folder)[0] if left.exists() else None
    except OtherListing:
        assert tree(folder) == before
        assert not resume
        assert begun is not None
        assert begun != name or is_later
        return begun
    except StoreError:
        # It has a complete listing, which was reported before.
        assert tree(folder) == before
        assert begun is None
        shutil.rmtree(folder)
        return None
    assert keys_in(folder) == sorted(KEYS_OF[name])
    assert all(path.name.startswith("part-") for path in folder.iterdir())
    return None


def _holds_nothing_mixed(folder: Path) -> None:
    """A reader of the folder reads a complete listing, or gets an error that there is none."""
    try:
        dataset = Dataset.at(folder)
    except InventoryNotFound:
        return
    keys = [key for batch in dataset.batches(["key"]) for key in batch.column("key").to_pylist()]
    assert keys in [sorted(each) for each in KEYS_OF.values()]
