import csv
import io
from collections.abc import Callable
from pathlib import Path

import polars as pl

from inventory_assets.cli.diff import DIFFERENT, ERROR, SAME
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.inventory.samples import listed, parts_of

Run = Callable[..., Outcome]


def changes_in(output: bytes) -> list[tuple[str, str]]:
    rows = csv.DictReader(io.StringIO(output.decode(), newline=""))
    return [(row["key"], row["change"]) for row in rows]


def test_two_dates_are_compared(run: Run) -> None:
    outcome = run("diff", "source@2026-05-05", "source")
    assert (outcome.code, outcome.error) == (DIFFERENT, "")
    assert changes_in(outcome.output) == [("a/1", "deleted"), ("d", "created")]


def test_equal_inventories_have_no_changes(run: Run) -> None:
    outcome = run("diff", "source", "source@2026-05-06")
    assert (outcome.code, changes_in(outcome.output)) == (SAME, [])
    assert outcome.output.startswith(b'"bucket","key","change"')


def test_two_listings_are_compared(run: Run, tmp_path: Path) -> None:
    for name, groups in {"old": ["ab", "cd"], "new": ["a", "bc", "de"]}.items():
        store = LocalStore(tmp_path / "store")
        (tmp_path / name).mkdir()
        for number, part in enumerate(parts_of(store, *map(listed, groups))):
            store.path(part.key).replace(tmp_path / name / f"part-{number:05}.parquet")
    outcome = run("diff", tmp_path / "old", tmp_path / "new", "-o", tmp_path / "out.parquet")
    assert (outcome.code, outcome.output) == (DIFFERENT, b"")
    changes = pl.read_parquet(tmp_path / "out.parquet")
    assert changes.select("bucket", "key", "change").rows() == [("bucket", "e", "created")]


def test_an_error_is_distinguished_from_a_difference(run: Run) -> None:
    outcome = run("diff", "source", "source@2026-01-01")
    assert (outcome.code, outcome.output) == (ERROR, b"")
    assert "no inventory of source was published for 2026-01-01" in outcome.error
