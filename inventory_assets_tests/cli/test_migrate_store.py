"""`inventory migrate-store`: what it says; `assets/test_migrated_store.py` tests what it does."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory_assets.cli import main, migrate_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.upgrades.kept_stores import EVERY_KIND, KeptStore, kept_store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptStore:
    return kept_store(EVERY_KIND, tmp_path_factory.mktemp("kept") / "store")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_line_of_progress_and_erases_it(
    kept: KeptStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(migrate_store, "_LINE_SECONDS", 0)
    assert main(["migrate-store", str(kept.store.root), str(tmp_path / "there")]) == 0
    lines = terminal.getvalue().split("\r")
    files = sum(1 for _ in LocalStore(tmp_path / "there").files(kept.bucket))
    records = len(kept.sources) + 1  # source.json of each, with the held one
    assert lines[-1] == "\x1b[K"
    assert (
        lines[-2]
        == f"{files - records:,} of {files - records:,} files, {files - records:,} copied\x1b[K"
    )


def test_a_dry_run_says_what_would_be_copied_and_what_not(
    kept: KeptStore, tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    there = tmp_path / "there"
    outcome = run(
        "migrate-store", str(kept.store.root), str(there), "--source", "objects", "--dry-run"
    )
    assert outcome.code == 0
    lines = outcome.output.decode().splitlines()
    assert lines[0] == f"sources: {kept.bucket}/objects"
    assert lines[1].startswith("to copy or compare: ")
    assert lines[2:] == ["not copied: 1 tombstones: collections write them anew"]
    assert not there.exists()


@pytest.mark.parametrize("number", ["0", "65", "many"])
def test_a_number_of_files_at_a_time_that_cannot_be_is_wrong_usage(
    run: Callable[..., Outcome], number: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        run("migrate-store", "here", "there", "--parallel", number)
    assert stop.value.code == 2


def test_a_damaged_file_ends_the_command_with_a_sentence(
    tmp_path: Path, run: Callable[..., Outcome]
) -> None:
    damaged = kept_store(EVERY_KIND, tmp_path / "store")
    key = next(key for key in damaged.content if "/objects/data/" in key)
    damaged.store.publish(key, b"damaged")
    outcome = run("migrate-store", str(tmp_path / "store"), str(tmp_path / "there"))
    assert outcome.code == 1
    assert "is damaged: its content has the SHA-256" in outcome.error
