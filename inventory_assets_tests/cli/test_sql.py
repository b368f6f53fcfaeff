import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inventory_assets_tests.cli.conftest import KEYS, LATER, Outcome, on_a_terminal
from inventory_assets_tests.inventory.samples import DAY

Run = Callable[..., Outcome]


def test_a_query_over_all_dates_is_csv_in_a_pipe(run: Run) -> None:
    outcome = run("sql", "source", "SELECT day, objects FROM dates ORDER BY day")
    assert (outcome.code, outcome.error) == (0, "")
    assert outcome.output == (
        f'"day","objects"\n{DAY},{len(KEYS)}\n{DAY.replace(day=6)},{len(LATER)}\n'.encode()
    )


def test_a_query_may_come_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT count(*) AS n FROM inventory;"))
    outcome = run("sql", f"source@{DAY}", "--format", "json")
    assert json.loads(outcome.output) == {"n": len(KEYS)}


@pytest.mark.parametrize("sql", ["DROP VIEW dates", "FROM nothing", ""])
def test_a_failed_query_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch, sql: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    outcome = run("sql", "source", sql)
    assert (outcome.code, outcome.output) == (1, b"")
    assert outcome.error.count("\n") == 1


def test_queries_are_read_one_after_the_other_on_a_terminal(published: Path) -> None:
    typed = b"SELECT sum(objects)\n AS n FROM dates;\nFROM nothing;\nSELECT 40 + 2 AS m;\nexit\n"
    code, shown = on_a_terminal(published, "sql", "source", typed=typed)
    assert code == 0
    lines = [line.strip() for line in shown.decode().splitlines()]
    assert lines[lines.index("n") + 1] == str(len(KEYS) + len(LATER))
    assert lines[lines.index("m") + 1] == "42"
    assert any("the query failed" in line for line in lines)


def test_the_end_of_the_input_leaves_the_prompt(published: Path) -> None:
    code, shown = on_a_terminal(published, "sql", "source", typed=b"\x04")
    assert (code, b"inventory> " in shown) == (0, True)
