import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.contenders import Contender
from benchmarks.listing import Course, Pair, Run, table
from benchmarks.load_source import LoadSource
from benchmarks.parquet_files import check
from benchmarks.processes import ProcessFailed, Usage

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def contender(code: str, name: str = "some", *, writes: bool = False) -> Contender:
    """Runs Python code, which finds the folder to write into as `out`."""

    def command(_source: LoadSource, out: Path) -> list[str]:
        return [sys.executable, "-c", f"out = {str(out)!r}\n{code}"]

    return Contender(name, name, 0, command, writes_parquet=writes, prints_count=True)


def write(folder: Path, *files: list[str]) -> None:
    for number, keys in enumerate(files):
        table = pa.table({"key": pa.array(keys, pa.string())})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=2)


def a_pair(name: str, number: int, tiny_seconds: float, large_seconds: float) -> Pair:
    def run(objects: int, seconds: float) -> Run:
        usage = Usage(seconds, seconds, 50_000_000, objects, "")
        return Run(name, number, objects, usage, 0.1, objects // 1000, objects * 40)

    return Pair(run(1_000, tiny_seconds), run(101_000, large_seconds))


@pytest.fixture
def course() -> Iterator[Course]:
    with closing(Course(lambda count: LoadSource("flat", count), scale=1.0)) as course:
        yield course


@needs_compiler
def test_a_contender_that_loses_objects_fails(course: Course) -> None:
    assert course.run(contender("print('1,000 objects')"), 1, 1_000).objects == 1_000
    with pytest.raises(ProcessFailed, match=r"saw 999 of 1,000"):
        course.run(contender("print(999)"), 1, 1_000)
    with pytest.raises(ProcessFailed, match="printed no count"):
        course.run(contender("print('none')"), 1, 1_000)


@needs_compiler
def test_a_contender_that_writes_fewer_rows_than_it_says_fails(course: Course) -> None:
    code = (
        "import pyarrow, pyarrow.parquet\n"
        "keys = pyarrow.table({'key': ['a', 'b']})\n"
        "pyarrow.parquet.write_table(keys, out + '/some.parquet')\n"
        "print(3)"
    )
    with pytest.raises(ProcessFailed, match=r"wrote 2 of 3 objects"):
        course.run(contender(code, writes=True), 1, 3)


@pytest.mark.parametrize("every_key", [True, False])
def test_a_listing_is_sorted_within_and_across_its_files(tmp_path: Path, every_key: bool) -> None:
    write(tmp_path, ["a", "b", "c", "d"], ["e", "é", "𠀀"], [])
    rows, size = check(tmp_path, every_key=every_key)
    assert rows == 7
    assert size == sum(file.stat().st_size for file in tmp_path.iterdir())
    write(tmp_path, ["a", "b", "c", "e"], ["e", "f"])
    with pytest.raises(ValueError, match=r"part-1.parquet do not ascend after row 4"):
        check(tmp_path, every_key=every_key)
    write(tmp_path, ["c", "d", "a", "b"], ["e", "f"])
    with pytest.raises(ValueError, match=r"part-0.parquet do not ascend"):
        check(tmp_path, every_key=every_key)


def test_the_table_tells_marginal_cost_and_ratios_round_by_round() -> None:
    pairs = {
        "one": [a_pair("one", 1, 1.0, 1.2), a_pair("one", 2, 1.0, 1.4)],
        "two": [a_pair("two", 1, 0.1, 1.1), a_pair("two", 2, 0.1, 2.1)],
    }
    lines = table([contender("", "one"), contender("", "two")], pairs).splitlines()
    one, two = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    assert one[:3] == ["one", "101,000", "3.00 (2.00 to 4.00)"]
    assert two[2] == "15.0 (10.0 to 20.0)"
    assert (one[-1], two[-1]) == ("1.0", "5.0")
    assert two[8] == "40.0"
