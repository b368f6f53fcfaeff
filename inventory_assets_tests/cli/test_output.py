"""In which format rows and summaries are written: for a person, or for a program."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from inventory_assets.cli import main
from inventory_assets.cli.output import print_json
from inventory_assets.cli.table import write_table
from inventory_assets_tests.cli.conftest import KEYS, LATER, Outcome, on_a_terminal

Run = Callable[..., Outcome]
SQL = "SELECT key, size FROM inventory WHERE key < 'b' ORDER BY key"


def table_of(*batches: dict[str, list[object]]) -> str:
    records = [pa.RecordBatch.from_pydict(batch) for batch in batches]
    target = io.BytesIO()
    rows = write_table(records, records[0].schema, target)
    assert rows == sum(batch.num_rows for batch in records)
    return target.getvalue().decode()


# Tables


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    columns: dict[str, list[object]] = {"key": ["a", "long-key"], "size": [1, 200], "c": ["x", ""]}
    assert table_of(columns) == "key       size  c\na            1  x\nlong-key   200\n"


def test_a_table_without_rows_is_a_header() -> None:
    batch = pa.RecordBatch.from_pydict({"key": pa.array([], pa.string())})
    target = io.BytesIO()
    assert write_table([batch], batch.schema, target) == 0
    assert target.getvalue() == b"key\n"


def test_the_first_rows_decide_the_widths_and_no_value_is_cut() -> None:
    first: dict[str, list[object]] = {"key": ["a"], "n": [1]}
    assert table_of(first, {"key": ["longer"], "n": [2]}) == "key  n\na    1\nlonger  2\n"
    assert table_of({"key": ["k" * 99, "a"], "n": [1, 2]}).splitlines()[1:] == [
        f"{'k' * 99}  1",
        f"{'a':<60}  2",
    ]


def test_wide_characters_take_two_columns() -> None:
    assert table_of({"key": ["漢字", "ab"], "n": [1, 2]}).splitlines()[1:] == ["漢字  1", "ab    2"]


def test_control_characters_in_a_cell_are_escaped() -> None:
    hostile = "\x1b[2J\n\r\x07\x7f\x9b\u202e"
    shown = table_of({hostile: [hostile], "list": [[hostile]]})
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == 2


def test_values_that_are_no_text_are_shown_as_json_shows_them() -> None:
    rows: dict[str, list[object]] = {"b": [True], "none": [None], "list": [["x"]]}
    assert table_of(rows).splitlines()[1] == 'true        ["x"]'


# What a command chooses


def test_a_terminal_gets_a_table(published: Path) -> None:
    code, shown = on_a_terminal(published, "query", "source", SQL)
    assert (code, shown) == (0, b"key  size\r\na/2     3\r\n")


@pytest.mark.parametrize(
    "command", [["export", "source@2026-05-05"], ["diff", "source@2026-05-05", "source"]]
)
def test_rows_of_every_command_are_a_table_on_a_terminal(
    published: Path, command: list[str]
) -> None:
    _, shown = on_a_terminal(published, *command)
    header, first, *_ = shown.decode().splitlines()
    assert header.split()[:2] == ["bucket", "key"]
    assert first.split()[:2] == ["bucket", "a/1"]
    assert "\x1b" not in shown.decode()


def test_a_terminal_gets_the_format_that_is_named(published: Path) -> None:
    code, shown = on_a_terminal(published, "query", "source", SQL, "--format", "csv")
    assert (code, shown) == (0, b'"key","size"\r\na/2,3\r\n')


def test_a_pipe_gets_a_table_if_it_is_asked_for(run: Run) -> None:
    assert run("query", "source", SQL, "--format", "table").output == b"key  size\na/2     3\n"
    lines = run("export", "source", "--format", "table").output.decode().splitlines()
    assert len(lines) == 1 + len(LATER)


def test_a_file_may_hold_a_table(run: Run, tmp_path: Path) -> None:
    run("query", "source", SQL, "-o", tmp_path / "out.txt", "--format", "table")
    assert (tmp_path / "out.txt").read_text() == "key  size\na/2     3\n"


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_rows_as_json_are_a_document_per_line(run: Run, name: str) -> None:
    lines = run("export", "source@2026-05-05", "--format", name).output.decode().splitlines()
    assert [json.loads(line)["key"] for line in lines] == KEYS


def test_an_unknown_format_is_an_error(run: Run) -> None:
    outcome = run("query", "source", SQL, "--format", "xml")
    assert (outcome.code, outcome.output) == (1, b"")
    assert "'xml'" in outcome.error


def test_a_document_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    text = "\x1b[2J\x7f\x9b\u202e\n"
    print_json({"text": text})
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert line.isascii()
    assert json.loads(line) == {"text": text}


# Completion


def test_bash_completes_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    ask = (
        'COMP_WORDS=(inventory {} "{}"); COMP_CWORD={}; _shtab_inventory; echo "${{COMPREPLY[@]}}"'
    )
    script = "\n".join(
        [capsys.readouterr().out, ask.format("", "ver", 1), ask.format("verify", "--no-s", 2)]
    )
    shown = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == ["verify", "--no-sign-request"]


def test_zsh_gets_a_script_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef inventory\n")
