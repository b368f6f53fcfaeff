"""Measure usage by prefix beside DuckDB and Polars: `python -m benchmarks.usage --rows 10000000`.

The bucket is a tree of dates, `team-07/year=2025/month=03/day=09/hour=04/` and a name, in 100
parts. On the second day one of them is new. `prefix_usage` keeps what matters of all depths; the
others count prefixes of up to four levels, by class, size band and month as well. Each is a process
of its own, and its CPU time is also shown without start, imports and the reading of the manifest.
Times are seconds of user and system.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.load_source import HERE
from benchmarks.processes import run
from benchmarks.two_days import LAYOUT, NOW, TODAY, YESTERDAY, hexadecimal, strings
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.fingerprint import Fingerprint
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.part_writer import PartWriter
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard

PARTS = 100
TEAMS = 20
HOURS = 365 * 24
CHUNK_ROWS = 50_000
DEPTH = 4
COPY_EVERY = 100
"""Of so many objects, one has the content of the one before."""


def records(first: int, rows: int, count: int, seed: int) -> pa.RecordBatch:
    """Consecutive objects of a bucket of `count`, in key order.

    What nobody reads is null.
    """
    random = np.random.default_rng([seed, first])
    places = np.arange(first, first + rows) * (TEAMS * HOURS) // count
    hours = places % HOURS
    starts = np.datetime64("2025-01-01T00", "h") + hours
    distinct, index = np.unique(places, return_inverse=True)
    folders = np.frombuffer("".join(map(_folder, distinct.tolist())).encode(), np.uint8)
    heads = np.arange(first, first + rows).astype(">u8").view(np.uint8).reshape(rows, 8)
    names = hexadecimal(
        np.concatenate([heads, random.integers(0, 256, (rows, 8), np.uint8)], axis=1)
    )
    suffix = np.tile(np.frombuffer(b".json.gz", np.uint8), (rows, 1))
    folders = folders.reshape(len(distinct), -1)[index]
    keys = strings(np.concatenate([folders, names, suffix], axis=1))
    written = starts.astype("datetime64[ms]").astype(np.int64) + random.integers(0, 3_600_000, rows)
    classes = pa.array(["STANDARD", "STANDARD_IA"])
    contents = random.integers(0, 256, (rows, 16), np.uint8)
    copies = np.arange(0, rows - 1, COPY_EVERY)
    contents[copies + 1] = contents[copies]
    sizes = random.lognormal(11, 2.5, rows).astype(np.int64)
    sizes[copies + 1] = sizes[copies]
    columns = {
        "bucket": pa.repeat(pa.scalar("bucket"), rows),
        "key": keys,
        "size": pa.array(sizes),
        "e_tag": strings(hexadecimal(contents)),
        "last_modified_date": pa.array(written).cast(pa.timestamp("ms", "UTC")),
        "storage_class": classes.take(pa.array((hours < HOURS // 2).astype(np.int8))),
        "is_multipart_uploaded": pa.repeat(pa.scalar(False), rows),
    }
    return pa.RecordBatch.from_arrays(
        [columns.get(field.name, pa.nulls(rows, field.type)) for field in RECORD_SCHEMA],
        schema=RECORD_SCHEMA,
    )


def _folder(place: int) -> str:
    team, hour = divmod(place, HOURS)
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    return f"team-{team:02}/year={at:%Y}/month={at:%m}/day={at:%d}/hour={at:%H}/"


def make_bucket(folder: Path, rows: int) -> None:
    """Publish both days."""
    store = LocalStore(folder)
    parts = [_part(store, number, rows, seed=1) for number in range(PARTS)]
    _publish(store, YESTERDAY, parts)
    parts[PARTS // 2] = _part(store, PARTS // 2, rows, seed=2)
    _publish(store, TODAY, parts)


def _part(store: LocalStore, number: int, count: int, seed: int) -> Part:
    first, end = (count * each // PARTS for each in (number, number + 1))
    with PartWriter(store, LAYOUT, with_fingerprint=False, with_md5=False) as writer:
        for start in range(first, end, CHUNK_ROWS):
            writer.write(records(start, min(CHUNK_ROWS, end - start), count, seed))
        writer.finish_part()
        (part,) = writer.parts
    return part


def _publish(store: LocalStore, day: date, parts: list[Part]) -> None:
    snapshot = Snapshot(
        bucket=LAYOUT.bucket,
        source=LAYOUT.source,
        day=day,
        shard=Shard(""),
        started_at=NOW,
        finished_at=NOW,
        key_order=KeyOrder.BYTES,
        parts=tuple(parts),
        evidence=(),
        fingerprint=Fingerprint().hexdigest(),
        requests=0,
        response_bytes=0,
        faults={},
    )
    publish_manifest(store, LAYOUT, merge(store, LAYOUT, "", {"": snapshot}, NOW))


def _of_day(folder: Path, day: date) -> Callable[[], int]:
    from inventory_assets.inventory.manifest.manifest_merge import read_manifest
    from inventory_assets.inventory.usage.date_usage import publish_usage

    store = LocalStore(folder)
    manifest = read_manifest(store, LAYOUT, day)
    if manifest is None:
        raise FileNotFoundError(folder)

    def work() -> int:
        return publish_usage(store, LAYOUT, manifest, NOW).by_prefix.rows

    return work


def first_day(folder: Path) -> Callable[[], int]:
    """`publish_usage`, as the asset calls it, with nothing computed yet."""
    return _of_day(folder, YESTERDAY)


def second_day(folder: Path) -> Callable[[], int]:
    """The same, where one part of 100 is new."""
    return _of_day(folder, TODAY)


def duckdb(folder: Path) -> Callable[[], int]:
    """One GROUP BY of the deepest prefixes, then roll-ups of its result."""
    import duckdb as engine

    files = _files(folder)
    bands = "CASE WHEN size < 1 THEN 0 " + "".join(
        f"WHEN size < {2**power} THEN {band} "
        for band, power in enumerate((10, 14, 17, 20, 24, 27, 30, 34), 1)
    )
    # The files are this module's own.
    deepest = f"""
        CREATE TEMP TABLE deepest AS
        SELECT regexp_extract(key, '^([^/]*/){{0,{DEPTH}}}') AS prefix, storage_class,
            {bands} ELSE 9 END AS band, date_trunc('month', last_modified_date) AS month,
            count(*) AS objects, sum(size) AS bytes
        FROM read_parquet({files}) GROUP BY ALL"""  # noqa: S608

    def work() -> int:
        connection = engine.connect()
        connection.execute(deepest)
        levels = " UNION ALL ".join(
            f"SELECT regexp_extract(prefix, '^([^/]*/){{{level}}}') AS prefix, storage_class, "  # noqa: S608
            "band, month, sum(objects) AS objects, sum(bytes) AS bytes FROM deepest GROUP BY ALL"
            for level in range(DEPTH + 1)
        )
        connection.execute(f"COPY ({levels}) TO '{folder}/duckdb.parquet' (COMPRESSION zstd)")
        found = connection.execute(f"SELECT count(DISTINCT prefix) FROM '{folder}/duckdb.parquet'")  # noqa: S608
        row = found.fetchone()
        return int(row[0]) if row else 0

    return work


def polars(folder: Path) -> Callable[[], int]:
    """The same with the streaming engine of Polars."""
    import polars as pl

    files = _files(folder)
    bounds = [0, *(2**power - 1 for power in (10, 14, 17, 20, 24, 27, 30, 34))]
    others = ["storage_class", "band", "month"]
    totals = [pl.sum("objects"), pl.sum("bytes")]

    def work() -> int:
        deepest = (
            pl.scan_parquet(files)
            .select(
                pl.col("key").str.extract(rf"^((?:[^/]*/){{0,{DEPTH}}})").alias("prefix"),
                "storage_class",
                pl.col("size").cut(bounds).to_physical().alias("band"),
                pl.col("last_modified_date").dt.truncate("1mo").alias("month"),
                pl.col("size"),
            )
            .group_by("prefix", *others)
            .agg(pl.len().alias("objects"), pl.sum("size").alias("bytes"))
            .collect(engine="streaming")
        )
        levels = [
            deepest.with_columns(pl.col("prefix").str.extract(rf"^((?:[^/]*/){{{level}}})"))
            .group_by("prefix", *others)
            .agg(totals)
            for level in range(DEPTH + 1)
        ]
        table = pl.concat(levels)
        table.write_parquet(folder / "polars.parquet")
        return table["prefix"].n_unique()

    return work


def _files(folder: Path) -> list[str]:
    store = LocalStore(folder)
    return store.path(LAYOUT.symlink(YESTERDAY)).read_text().splitlines()


CONTENDERS: dict[str, Callable[[Path], Callable[[], int]]] = {
    "prefix_usage, first day": first_day,
    "prefix_usage, second day": second_day,
    "DuckDB": duckdb,
    "Polars, streaming": polars,
}


def main() -> None:
    """Make the bucket, let each contender work in a process, and print a row of a table for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the bucket is made, or was made")
    parser.add_argument("--contender", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        work = CONTENDERS[options.contender](options.folder)
        began = time.process_time()
        prefixes = work()
        print(json.dumps({"cpu": time.process_time() - began, "prefixes": prefixes}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name)
        if not (folder / LAYOUT.base).exists():
            make_bucket(folder, options.rows)
        print("| | prefixes | CPU s | without start | wall s | peak MB |")
        print("|---|--:|--:|--:|--:|--:|", flush=True)
        environment = {"PYTHONPATH": str(HERE.parent), "PATH": os.environ["PATH"]}
        for contender in CONTENDERS:
            command = [sys.executable, "-m", "benchmarks.usage", "--folder", str(folder)]
            usage = run([*command, "--contender", contender], environment)
            said = json.loads(usage.tail)
            print(
                f"| {contender} | {said['prefixes']:,} | {usage.cpu_seconds:.1f} "
                f"| {said['cpu']:.2f} | {usage.wall_seconds:.1f} | {usage.peak_bytes / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
