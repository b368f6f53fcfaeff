import json
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from inventory_assets_tests.cli.conftest import LATER, Outcome

Run = Callable[..., Outcome]


def test_a_response_is_csv_with_a_header(run: Run) -> None:
    outcome = run("query", "source", "SELECT key, size FROM inventory WHERE key < 'b' ORDER BY key")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == b'"key","size"\na/2,3\n'


def test_a_response_without_rows_has_its_header(run: Run) -> None:
    assert run("query", "source", "SELECT key FROM inventory LIMIT 0").output == b'"key"\n'


def test_lists_need_a_format_that_has_room_for_them(run: Run) -> None:
    sql = "SELECT list(key ORDER BY key) AS keys, sum(size) AS bytes FROM inventory"
    outcome = run("query", "source", sql)
    assert (outcome.code, outcome.output) == (1, b"")
    assert "add --format jsonl" in outcome.error
    answer = json.loads(run("query", "source", sql, "--format", "jsonl").output)
    assert answer == {"keys": LATER, "bytes": sum(map(len, LATER))}


def test_a_response_may_be_a_file(run: Run, tmp_path: Path) -> None:
    run("query", "source@2026-05-05", "FROM inventory", "-o", tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 8


@pytest.mark.parametrize("sql", ["DROP VIEW inventory", "SELECT 1/0 FROM nothing", "FROM 'x.csv'"])
def test_a_failed_query_reports_an_error_and_leaves_no_file(
    run: Run, tmp_path: Path, sql: str
) -> None:
    outcome = run("query", "source", sql, "-o", tmp_path / "out.csv")
    assert (outcome.code, outcome.output) == (1, b"")
    assert outcome.error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_no_file(run: Run, tmp_path: Path) -> None:
    sql = "SELECT CASE WHEN range < 900000 THEN 1 ELSE error('late') END FROM range(1000000)"
    outcome = run("query", "source", sql, "-o", tmp_path / "out.csv")
    assert outcome.code == 1
    assert "late" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_keys_in_a_query_s_error_are_escaped(run: Run) -> None:
    outcome = run("query", "source", "SELECT key::INTEGER FROM inventory WHERE key LIKE 'tab%'")
    assert outcome.code == 1
    assert "\\x1b[31m" in outcome.error
    assert outcome.error.rstrip("\n").isprintable()


def test_without_duckdb_the_command_says_how_to_get_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    outcome = run("query", "source", "FROM inventory")
    assert outcome.code == 1
    assert "pip install 'inventory-assets[duckdb]'" in outcome.error
