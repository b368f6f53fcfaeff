"""A folder holds one whole listing of what was asked for, or an error is raised."""

import json
import shutil
import tempfile
from pathlib import Path

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
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.folder_listing.folder_lock import WORK_FOLDER, locked
from inventory_assets.inventory.folder_listing.folder_records import Listing, interrupted_listing
from inventory_assets.inventory.folder_listing.range_listing import FolderWork
from inventory_assets.inventory.query.dataset import Dataset
from inventory_assets.scan.engine.parallel_scan import utc_now
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life
from inventory_assets_tests.inventory.killed_folder_listings import (
    DAY,
    KEYS_OF,
    bucket,
    fill,
    keys_in,
    kill,
    kill_finished,
    living,
    tree,
)
from inventory_assets_tests.inventory.killed_listings import small_files
from inventory_assets_tests.inventory.samples import NOW


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


@small_files()
def test_a_folder_that_replaced_the_locked_one_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    list_all = folder_listing._list

    def listed(work: FolderWork) -> Listing:
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


def test_a_finished_listing_of_another_bucket_is_rejected(tmp_path: Path) -> None:
    kill_finished(tmp_path, "two", moved=1)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match=r"bucket 'two' .* not of bucket 'one' .* resume") as no:
        fill(tmp_path, "one")
    assert f"inventory resume {tmp_path}" in str(no.value)
    assert tree(tmp_path) == before
    assert fill(tmp_path, *interrupted_listing(tmp_path), resume=True).rows == len(KEYS_OF["two"])
    assert keys_in(tmp_path) == sorted(KEYS_OF["two"])
    assert all(path.name.startswith("part-") for path in tmp_path.iterdir())


def test_a_finished_listing_of_another_prefix_or_of_versions_is_rejected(tmp_path: Path) -> None:
    kill_finished(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match="keys that start with 'a/'"):
        fill(tmp_path, prefix="a/")
    for versions in (Versions(), Versions(NOW)):
        with pytest.raises(OtherListing, match="versions"):
            list_into_folder(bucket(), "", tmp_path, versions=versions)
    assert tree(tmp_path) == before


def test_an_old_finished_listing_is_rejected(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    kill_finished(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(OtherListing, match="too old to stand for the present bucket"):
        fill(tmp_path, now=lambda: utc_now() + DAY)
    assert tree(tmp_path) == before
    logged.clear()
    fill(tmp_path, resume=True, now=lambda: utc_now() + 9 * DAY)
    assert "the listing was finished at 20" in logged.messages[0]
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_a_recent_finished_listing_gets_its_file_names_and_logs_its_time(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    kill_finished(tmp_path, moved=2)
    logged.clear()
    listing = fill(tmp_path)
    assert "the listing was finished at 20" in logged.messages[0]
    assert listing.files == tuple(sorted(tmp_path.glob("*.parquet")))
    assert keys_in(tmp_path) == sorted(KEYS_OF["one"])


def test_checkpoints_of_another_listing_are_not_removed(
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


@small_files()
def test_another_listing_without_checkpoints_does_not_block_a_new_one(tmp_path: Path) -> None:
    kill(tmp_path, 3)
    assert interrupted_listing(tmp_path) == ("one",)
    fill(tmp_path, "two")
    assert keys_in(tmp_path) == sorted(KEYS_OF["two"])


def test_a_listing_by_another_version_of_the_program_is_reported_as_such(tmp_path: Path) -> None:
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
    """Run a step; return the listing that is unfinished now, according to the model."""
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
