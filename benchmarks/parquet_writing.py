"""Measure the cost of the Parquet settings of parts: `python benchmarks/parquet_writing.py`.

A million generated records of each key shape are written to memory and read back, with the settings
of parts, with each setting removed or increased, and with pyarrow's defaults. CPU time is that of
the whole process, including all threads.
"""

import argparse
import math
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore

MILLION = 1_000_000
PAGE_ROWS = 1_000
"""Records in a page of ListObjectsV2."""
PART_BYTES = 8 * 1024 * 1024
"""Objects larger than this were uploaded in parts of this size, as boto3 and the AWS CLI do."""
DICTIONARY = "DICTIONARY"
ENCODINGS = {
    "key": ("PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"),
    "size": ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", DICTIONARY),
    "last_modified_date": ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", DICTIONARY),
    "e_tag": ("PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", DICTIONARY),
    "is_multipart_uploaded": ("PLAIN", "RLE"),
    "storage_class": ("PLAIN", DICTIONARY),
}
PLAIN_NUMBERS = {"size": "PLAIN", "last_modified_date": "PLAIN"}
DELTA_TIMES = {"size": "PLAIN", "last_modified_date": "DELTA_BINARY_PACKED"}
DELTA_TEXT = {"key": "DELTA_BYTE_ARRAY", "e_tag": "DELTA_LENGTH_BYTE_ARRAY"}
SPLIT_NUMBERS = {"size": "BYTE_STREAM_SPLIT", "last_modified_date": "BYTE_STREAM_SPLIT"}
COMPRESSIONS: tuple[tuple[str, int | None], ...] = (
    *(("zstd", level) for level in (1, 2, 3, 6, 9)),
    ("snappy", None),
    ("lz4", None),
    ("none", None),
)
ROW_GROUPS = (8_192, 16_384, 32_768, 65_536, 262_144, 1_048_576)
OTHERS: dict[str, dict[str, Any]] = {
    "statistics: of all but ETags": {
        "write_statistics": [name for name in RECORD_SCHEMA.names if name != "e_tag"]
    },
    "statistics: keys only": {"write_statistics": ["key"]},
    "statistics: none": {"write_statistics": False},
    "data pages of 64 KiB": {"data_page_size": 64 * 1024},
    "data pages of 256 KiB": {"data_page_size": 256 * 1024},
    "data pages of 8 MiB": {"data_page_size": 8 << 20},
    "rows per page: 4,096": {"max_rows_per_page": 4_096},
    "rows per page: no limit but the page's bytes": {"max_rows_per_page": MILLION},
    "rows per page: no limit, data pages of 8 MiB": {
        "max_rows_per_page": MILLION,
        "data_page_size": 8 << 20,
    },
    "write_batch_size 256": {"write_batch_size": 256},
    "write_batch_size 8,192": {"write_batch_size": 8_192},
    "write_batch_size 65,536": {"write_batch_size": 65_536},
    "data pages of version 2": {"data_page_version": "2.0"},
    "with a page index": {"write_page_index": True},
    "with page checksums": {"write_page_checksum": True},
    "without the Arrow schema": {"store_schema": False},
}


@dataclass(frozen=True, slots=True)
class Settings:
    """A way to write Parquet.

    Attributes:
        label: How the table calls it.
        row_group_rows: Records in a row group.
        options: Arguments of `ParquetWriter`.
    """

    label: str
    row_group_rows: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def but(self, label: str, row_group_rows: int | None = None, **changes: Any) -> "Settings":
        """The same in all but what is given."""
        rows = row_group_rows or self.row_group_rows
        return Settings(label, rows, {**self.options, **changes})

    def encoding(self, column: str) -> str:
        """The encoding of a column."""
        if column in self.options.get("use_dictionary", ()):
            return DICTIONARY
        encodings: Mapping[str, str] = self.options.get("column_encoding") or {}
        return encodings.get(column, "PLAIN")

    def encoding_as(self, label: str, changes: Mapping[str, str]) -> "Settings":
        """The same with some columns encoded otherwise."""
        encodings = {name: self.encoding(name) for name in RECORD_SCHEMA.names} | dict(changes)
        return self.but(
            label,
            use_dictionary=[name for name, how in encodings.items() if how == DICTIONARY],
            column_encoding={name: how for name, how in encodings.items() if how != DICTIONARY},
        )

    def compressing_as(
        self, label: str, codec: str, level: int | None, column: str | None = None
    ) -> "Settings":
        """The same with another compression, of one column or of all."""
        if column is None:
            return self.but(label, compression=codec, compression_level=level)
        codecs = of_each_column(self.options["compression"]) | {column: codec}
        levels = of_each_column(self.options["compression_level"]) | {column: level}
        levels = {name: level for name, level in levels.items() if level is not None}
        return self.but(label, compression=codecs, compression_level=levels)


def of_each_column(option: Any) -> dict[str, Any]:
    """An option that may stand for all columns, spelled out for each."""
    if isinstance(option, Mapping):
        return dict(option)
    return dict.fromkeys(RECORD_SCHEMA.names, option)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run: bytes of the file, CPU seconds to write and to read it."""

    bytes: int
    write: float
    read: float


def present_settings() -> Settings:
    """The settings of parts, captured where they are written."""
    seen: dict[str, Any] = {}

    class Witness(pq.ParquetWriter):  # type: ignore[misc]
        def __init__(self, where: Any, schema: pa.Schema, **options: Any) -> None:
            seen.update(options)
            super().__init__(where, schema, **options)

    with tempfile.TemporaryDirectory() as folder, patch.object(pq, "ParquetWriter", Witness):
        write_parts(records(pa.array(["key"])), Path(folder))
    return Settings("**as parts are written**", ROW_GROUP_ROWS, seen)


def candidates(present: Settings) -> Iterator[Settings]:
    """The present settings, and all that differ from them in one thing."""
    yield present
    for column, encodings in ENCODINGS.items():
        for encoding in encodings:
            if encoding != present.encoding(column):
                yield present.encoding_as(f"{column}: {encoding}", {column: encoding})
    for codec, level in COMPRESSIONS:
        label = codec if level is None else f"{codec} {level}"
        whole = present.compressing_as(label, codec, level)
        if whole.options != present.options:
            yield whole
    yield present.compressing_as("e_tag: uncompressed", "none", None, "e_tag")
    yield present.compressing_as("e_tag: gzip 1", "gzip", 1, "e_tag")
    yield present.compressing_as("key: zstd 3", "zstd", 3, "key")
    yield from combinations(present)
    for rows in ROW_GROUPS:
        if rows != present.row_group_rows:
            yield present.but(f"row groups of {rows:,}", rows)
    for label, changes in OTHERS.items():
        yield present.but(label, **changes)


def combinations(present: Settings) -> Iterator[Settings]:
    """Sets of settings that one might choose, each for readers that others do not serve.

    fastparquet reads PLAIN and dictionaries only; Spark before 4.3 reads no BYTE_STREAM_SPLIT.
    """
    label = 'set: `encodings = "plain"`'
    yield present.encoding_as(label, {"key": "PLAIN", "e_tag": "PLAIN"})
    rows = present.row_group_rows
    statistics = [name for name in RECORD_SCHEMA.names if name != "e_tag"]
    long_pages: dict[str, Any] = {"max_rows_per_page": rows, "write_statistics": statistics}
    label = "set: only PLAIN and dictionaries"
    plain = present.encoding_as(label, {"key": "PLAIN"} | PLAIN_NUMBERS)
    yield plain
    label = "set: the same, times zstd 3"
    yield plain.compressing_as(label, "zstd", 3, "last_modified_date")
    yield plain.but("set: PLAIN and dictionaries, long pages", **long_pages)
    label = "set: keys and times delta, sizes PLAIN"
    yield present.encoding_as(label, {"key": "DELTA_BYTE_ARRAY"} | DELTA_TIMES)
    label = "set: keys, ETags and times delta, sizes PLAIN, long pages"
    yield present.encoding_as(label, DELTA_TEXT | DELTA_TIMES).but(label, **long_pages)
    label = "set: keys and ETags delta, numbers PLAIN, times zstd 3, long pages"
    compact = present.encoding_as(label, DELTA_TEXT | PLAIN_NUMBERS).but(label, **long_pages)
    yield compact.compressing_as(label, "zstd", 3, "last_modified_date")
    label = "set: keys and ETags delta, numbers split, long pages"
    yield present.encoding_as(label, DELTA_TEXT | SPLIT_NUMBERS).but(label, **long_pages)


def flat(rows: int, random: np.random.Generator) -> list[str]:
    """Hashes, all in one folder."""
    return [f"data/{random.bytes(16).hex()}" for _ in range(rows)]


def tree(rows: int, random: np.random.Generator) -> list[str]:
    """A deep tree of hours and hosts; each host writes some ten files an hour."""
    hours = np.datetime64("2024-01-01T00") + np.arange(rows // 400 + 1)
    names = [str(hour).replace("-", "/").replace("T", "/") for hour in hours]
    return [
        f"logs/{name}/host-{host:04}/part-{part:05}.json.gz"
        for name in names
        for host in range(40)
        for part in range(random.integers(8, 14))
    ][:rows]


def skewed(rows: int, random: np.random.Generator) -> list[str]:
    """One prefix with 70 % of the keys, which count up; the rest under three hundred tenants."""
    most = rows * 7 // 10
    tenants = random.integers(0, 300, rows - most)
    events = [f"events/{number * 37:012}-{random.bytes(4).hex()}.avro" for number in range(most)]
    return events + [f"tenants/{name:04}/{random.bytes(16).hex()}.bin" for name in tenants]


def real(rows: int, _random: np.random.Generator) -> list[str]:
    """Real file names, again and again under a number."""
    packed = resources.files("inventory_assets.demo").joinpath("key_names.txt.zst").read_bytes()
    names = zstandard.decompress(packed).decode().removesuffix("\n").split("\n")
    copies = math.ceil(rows / len(names))
    return [f"{copy:06}/{name}" for copy in range(copies) for name in names][:rows]


SHAPES: dict[str, Callable[[int, np.random.Generator], list[str]]] = {
    "flat hashes": flat,
    "tree of dates": tree,
    "one prefix with 70 %": skewed,
    "real names": real,
}


def keys_of(shape: str, rows: int) -> pa.Array:
    """The keys of a shape, ascending."""
    keys = pa.array(SHAPES[shape](rows, np.random.default_rng(1)), pa.string())
    return keys.take(pc.sort_indices(keys))


def records(keys: pa.Array) -> pa.Table:
    """Records with `RECORD_SCHEMA` and invented contents, the same on every call."""
    rows = len(keys)
    random = np.random.default_rng(2)
    sizes = np.exp(random.normal(math.log(8 * 1024), 3, rows)).astype(np.int64)
    digests = [random.bytes(16).hex() for _ in range(rows)]
    counts = -(-sizes // PART_BYTES)
    e_tags = [
        digest if count < 2 else f"{digest}-{count}"
        for digest, count in zip(digests, counts.tolist(), strict=True)
    ]
    seconds = random.integers(1_640_995_200, 1_735_689_600, rows)
    classes = ["STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "GLACIER_IR"]
    checksums = [None, "CRC64NVME", "CRC32"]
    return pa.table(
        [
            pa.repeat(pa.scalar("a-bucket-of-ours"), rows),
            keys,
            sizes,
            pa.array(seconds * 1000).cast(pa.timestamp("ms", "UTC")),
            e_tags,
            pa.array(classes).take(random.choice(4, rows, p=[0.85, 0.08, 0.05, 0.02])),
            counts > 1,
            pa.array(checksums).take(random.choice(3, rows, p=[0.5, 0.35, 0.15])),
            pa.nulls(rows, pa.string()),
        ],
        schema=RECORD_SCHEMA,
    )


def written(table: pa.Table, settings: Settings) -> pa.Buffer:
    """The file that the settings make of a table."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, **settings.options) as writer:
        for start in range(0, table.num_rows, settings.row_group_rows):
            group = table.slice(start, settings.row_group_rows)
            writer.write_table(group, row_group_size=group.num_rows)
    return sink.getvalue()


def read(file: pa.Buffer) -> None:
    """All of a file, a row group at a time, as `read_records` does."""
    with pq.ParquetFile(pa.BufferReader(file)) as opened:
        for group in range(opened.num_row_groups):
            opened.read_row_group(group, use_threads=False)


def write_parts(table: pa.Table, folder: Path) -> int:
    """Publish a table as parts, a listed page at a time; the bytes of them all."""
    with PartWriter(
        LocalStore(folder), Layout("bucket", "source"), with_fingerprint=False
    ) as writer:
        for batch in table.to_batches(PAGE_ROWS):
            writer.write(batch)
        writer.finish_part()
    return sum(part.file_bytes for part in writer.parts)


def cost(table: pa.Table, settings: Settings) -> Cost:
    """The cost of writing and reading a table once."""
    started = time.process_time()
    file = written(table, settings)
    between = time.process_time()
    read(file)
    return Cost(file.size, between - started, time.process_time() - between)


def cost_of_parts(table: pa.Table) -> Cost:
    """The cost of `PartWriter` as a whole: batches, totals, hashes, disk."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        size = write_parts(table, Path(folder))
        return Cost(size, time.process_time() - started, math.nan)


def spread(seconds: list[float], rows: int) -> str:
    """Median, least and most, in seconds per million."""
    if math.isnan(seconds[0]):
        return ""
    middle, least, most = (
        value * MILLION / rows for value in (statistics.median(seconds), min(seconds), max(seconds))
    )
    return f"{middle:.2f} ({least:.2f} to {most:.2f})"


def print_table(title: str, costs: Mapping[str, list[Cost]], rows: int) -> None:
    """A line of Markdown for each setting; the first is what the others' bytes are compared to."""
    print(f"\n### {title}\n")
    print(
        "| | bytes an object | of the first | write, CPU s per million | read, CPU s per million |"
    )
    print("|---|---|---|---|---|")
    whole = next(iter(costs.values()))[0].bytes
    for label, runs in costs.items():
        size = runs[0].bytes
        write = spread([run.write for run in runs], rows)
        back = spread([run.read for run in runs], rows)
        print(
            f"| {label} | {size / rows:.1f} | {size / whole:.2f} | {write} | {back} |", flush=True
        )


def measure(shape: str, rows: int, repeat: int, only: str, present: Settings) -> None:
    """Print the tables of one shape."""
    table = records(keys_of(shape, rows)).combine_chunks()
    baseline = Settings("pyarrow's defaults", 1 << 20)
    settings = [baseline, *(found for found in candidates(present) if re.search(only, found.label))]
    cost(table, baseline)  # what the first run costs beyond the others is nobody's
    costs: dict[str, list[Cost]] = {found.label: [] for found in settings}
    whole = "`PartWriter`, with totals, hashes and the disk"
    costs[whole] = []
    columns: dict[str, list[Cost]] = {"all": [], **{name: [] for name in RECORD_SCHEMA.names}}
    # All once, and then again: what else the machine does then spreads over all of them.
    for _ in range(repeat):
        for found in settings:
            costs[found.label].append(cost(table, found))
        costs[whole].append(cost_of_parts(table))
        columns["all"].append(cost(table, present))
        for name in RECORD_SCHEMA.names:
            columns[name].append(cost(table.select([name]), present))
    print_table(shape, costs, rows)
    print_table(f"{shape}, a column at a time", columns, rows)


def main() -> None:
    """Measure each shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=MILLION)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--only", default="", help="settings whose label this expression finds")
    arguments = parser.parse_args()
    present = present_settings()
    print(f"pyarrow {pa.__version__}; parts are written with {dict(present.options)}")
    for shape in arguments.shape or SHAPES:
        measure(shape, arguments.rows, arguments.repeat, arguments.only, present)


if __name__ == "__main__":
    main()
