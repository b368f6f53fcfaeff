"""Check a folder of Parquet files as one sorted listing, in bounded memory: `parquet_files.py`.

It runs as a separate process, so that the measuring process stays small. It prints the rows and the
bytes of the files, and fails if keys do not strictly ascend by their bytes over all files in the
order of their names.
"""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.load_source import HERE

BATCH_ROWS = 100_000


def check(folder: Path, *, every_key: bool = True) -> tuple[int, int]:
    """The rows and bytes of a folder of sorted Parquet files.

    Args:
        folder: Where they are.
        every_key: Look at every key; otherwise at the bounds of every row group.

    Raises:
        ValueError: The rows are not sorted, or some key is there twice.
    """
    command = [sys.executable, "-m", "benchmarks.parquet_files", str(folder)]
    command += [] if every_key else ["--bounds"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE.parent)
    if result.returncode:
        raise ValueError(f"{folder}: {result.stderr.strip().rpartition(chr(10))[2]}")
    rows, size = map(int, result.stdout.split())
    return rows, size


Run = tuple[int, bytes, bytes]
"""Rows that follow each other in order, with the first key and the last."""


def _batches(file: Path) -> Iterator[Run]:
    """A file batch by batch; within each the keys are checked here."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        column = _key_column(parquet.schema_arrow.names)
        for batch in parquet.iter_batches(BATCH_ROWS, columns=[column]):
            # As bytes: it is their order that S3 lists in.
            keys: Any = batch.column(0).cast(pa.binary())
            if pc.all(pc.less(keys.slice(0, len(keys) - 1), keys.slice(1))).as_py() is False:
                raise SystemExit(f"the keys of {file.name} do not ascend")
            yield len(keys), keys[0].as_py(), keys[-1].as_py()


def _row_groups(file: Path) -> Iterator[Run]:
    """The row groups of a file."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        column = parquet.schema_arrow.names.index(_key_column(parquet.schema_arrow.names))
        for number in range(parquet.num_row_groups):
            group = parquet.metadata.row_group(number)
            if not group.num_rows:
                continue
            bounds = group.column(column).statistics
            yield group.num_rows, bounds.min.encode(), bounds.max.encode()


def _key_column(names: list[str]) -> str:
    return next(name for name in ("key", "Key", "path") if name in names)


def _rows_in_order(files: Iterable[Path], runs_of: Callable[[Path], Iterator[Run]]) -> int:
    rows, before = 0, b""
    for file in files:
        for size, first, last in runs_of(file):
            if first <= before:
                raise SystemExit(f"the keys of {file.name} do not ascend after row {rows:,}")
            rows, before = rows + size, last
    return rows


if __name__ == "__main__":
    found = sorted(Path(sys.argv[1]).glob("*.parquet"))
    in_order = _rows_in_order(found, _row_groups if "--bounds" in sys.argv else _batches)
    print(in_order, sum(file.stat().st_size for file in found))
