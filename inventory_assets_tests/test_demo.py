import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which `inventory demo` was run, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    return folder, run(folder, [sys.executable, "-m", "inventory_assets.cli", "demo"])


def run(folder: Path, command: list[str]) -> str:
    environ = {
        name: text
        for name, text in os.environ.items()
        if name not in {"INVENTORY_CONFIG", "DAGSTER_HOME"}
    }
    environ["PATH"] = f"{Path(sys.executable).parent}:{environ['PATH']}"
    ended = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def number(text: str) -> int:
    return int(text.replace(",", ""))


def objects_of_days(printed: str) -> list[int]:
    """The objects of each day, as the demo's table has them."""
    row = r"^\d{4}-\d\d-\d\d +([\d,]+) +[\d,]+ +[\d,]+ +\d+ +\d+ +\d+$"
    return [number(count) for count in re.findall(row, printed, re.MULTILINE)]


def one_liner(printed: str, library: str) -> str:
    (line,) = [line.strip() for line in printed.splitlines() if f"import {library}" in line]
    return line


def test_the_demo_inventories_ten_days(toured: tuple[Path, str]) -> None:
    _, printed = toured
    counts = objects_of_days(printed)
    assert len(counts) == 10
    assert all(count > 1000 for count in counts)


def test_the_demo_ends_with_the_report_and_five_lines_of_it(toured: tuple[Path, str]) -> None:
    folder, printed = toured
    path, *lines = printed.rstrip().splitlines()[-6:]
    report = (folder / path.removeprefix("report").strip()).read_text("utf-8")
    names = [line.split("  ")[1] for line in lines]
    assert names == ["size", "growth", "cost", "waste", "grew most"]
    size, growth, cost, waste, grown = (line[13:] for line in lines)
    (shown,) = re.findall(r"^([\d.]+ GB) in [\d,]+ objects and versions$", size)
    assert shown in report
    assert "What lifecycle rules would do" in report
    assert re.match(r"[+-][\d.]+ GB \(-?[\d.]+ %\) since \d{4}-\d\d-\d\d$", growth)
    assert re.match(r"[\d.]+ USD per month \(estimated, prices of ", cost)
    assert re.match(r"[\d.]+ GB \([\d.]+ %\), estimated [\d.]+ USD per month: ", waste)
    assert re.match(r"\S+/, from [\d.]+ .B to [\d.]+ GB \(\+[\d.]+ GB\) in a week$", grown)


def test_the_demo_run_again_lists_today_only(toured: tuple[Path, str]) -> None:
    folder, printed = toured
    again = run(folder, [sys.executable, "-m", "inventory_assets.cli", "demo"])
    assert again.count("has a report already") == 9
    assert again.splitlines()[-6:] == printed.splitlines()[-6:]


def test_the_demo_leaves_its_files_under_data(toured: tuple[Path, str]) -> None:
    folder, _ = toured
    assert sorted(path.name for path in folder.iterdir()) == ["dagster.yaml", "data"]


def test_the_line_for_polars_counts_the_same_objects(toured: tuple[Path, str]) -> None:
    folder, printed = toured
    table = run(folder, ["bash", "-c", one_liner(printed, "polars")])
    counts = [number(count) for count in re.findall(r"│ [A-Z_]+ +┆ (\d+) ", table)]
    assert sum(counts) == objects_of_days(printed)[-1]


def test_the_line_for_duckdb_counts_the_same_changes(toured: tuple[Path, str]) -> None:
    folder, printed = toured
    table = run(folder, ["bash", "-c", one_liner(printed, "duckdb")])
    counted = {kind: number(count) for kind, count in re.findall(r"│ (\w+) +│ +(\d+) │", table)}
    lines = re.findall(r"^  (\w+ed) +([\d,]+)$", printed, re.MULTILINE)
    told = {kind: number(count) for kind, count in lines}
    assert len(told) == 5
    assert counted == {kind: count for kind, count in told.items() if count}
