"""One contender compares the two days in a folder: `python -m benchmarks.differ CONTENDER FOLDER`.

Each writes the changed keys with their old and new values to Parquet (zstd), and prints how many of
each kind it found, and the bytes that it read. It imports nothing but its own library.
"""

import json
import sys
from collections.abc import Callable, Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path

OUTPUT = "compared.parquet"
"""What the other contenders write, in the folder of the two days."""

COMPARED = ("size", "last_modified_date", "e_tag", "storage_class")


def this_project(folder: Path) -> Mapping[str, int]:
    """`publish_changes`, as the asset calls it."""
    from benchmarks.two_days import LAYOUT, NOW, open_days
    from inventory_assets.inventory.changes.shard_changes import publish_changes

    store, baseline, snapshot = open_days(folder)
    changes = publish_changes(store, LAYOUT, snapshot, baseline, NOW)
    return {kind.value: count for kind, count in changes.counts.items()}


def duckdb(folder: Path) -> Mapping[str, int]:
    """A full outer join in SQL."""
    import duckdb as engine

    old, new = _files(folder)
    differ = {name: f"new.{name} IS DISTINCT FROM old.{name}" for name in COMPARED}
    values = ", ".join(
        f"{side}.{name} AS {side}_{name}" for side in ("new", "old") for name in COMPARED
    )
    # The names are this module's own, and so are the files.
    query = f"""
        COPY (
            SELECT coalesce(new.key, old.key) AS key, {values}, CASE
                WHEN old.key IS NULL THEN 'created'
                WHEN new.key IS NULL THEN 'deleted'
                WHEN {differ["e_tag"]} OR {differ["size"]} THEN 'modified'
                WHEN {differ["last_modified_date"]} THEN 'touched'
                ELSE 'transitioned' END AS change
            FROM read_parquet({old}) old FULL JOIN read_parquet({new}) new ON old.key = new.key
            WHERE old.key IS NULL OR new.key IS NULL OR {" OR ".join(differ.values())}
        ) TO '{folder / OUTPUT}' (FORMAT parquet, COMPRESSION zstd)"""  # noqa: S608
    engine.execute(query)
    counts = engine.read_parquet(str(folder / OUTPUT)).aggregate("change, count(*)", "change")
    return dict(counts.fetchall())


def polars(folder: Path) -> Mapping[str, int]:
    """A full outer join in memory."""
    return _polars(folder, "in-memory")


def polars_streaming(folder: Path) -> Mapping[str, int]:
    """A full outer join by the streaming engine."""
    return _polars(folder, "streaming")


def _polars(folder: Path, engine: str) -> Mapping[str, int]:
    import polars as pl

    old, new = (pl.scan_parquet(files).select("key", *COMPARED) for files in _files(folder))
    differ = {name: pl.col(name).ne_missing(pl.col(f"{name}_old")) for name in COMPARED}
    kind = (
        pl.when(pl.col("is_old").is_null())
        .then(pl.lit("created"))
        .when(pl.col("is_new").is_null())
        .then(pl.lit("deleted"))
        .when(differ["e_tag"] | differ["size"])
        .then(pl.lit("modified"))
        .when(differ["last_modified_date"])
        .then(pl.lit("touched"))
        .when(differ["storage_class"])
        .then(pl.lit("transitioned"))
    )
    joined = new.with_columns(is_new=True).join(
        old.with_columns(is_old=True), on="key", how="full", coalesce=True, suffix="_old"
    )
    changed = joined.with_columns(change=kind).filter(pl.col("change").is_not_null())
    frame = changed.collect(engine=engine)  # type: ignore[call-overload]
    frame.write_parquet(folder / OUTPUT, compression="zstd", compression_level=1)
    return dict(frame.group_by("change").len().iter_rows())


class WithoutPandas(MetaPathFinder):
    """Keeps pandas out: pyarrow loads it where it is there, and only tests' readers bring it."""

    def find_spec(self, fullname: str, *_: object) -> None:
        """No pandas."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


CONTENDERS: Mapping[str, Callable[[Path], Mapping[str, int]]] = {
    "this project": this_project,
    "DuckDB": duckdb,
    "Polars, in memory": polars,
    "Polars, streaming": polars_streaming,
}


def _files(folder: Path) -> list[list[str]]:
    return [(folder / f"{day}.txt").read_text().split() for day in ("old", "new")]


def _bytes_read() -> int:
    """The bytes that this process has read so far, without mapped files."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


if __name__ == "__main__":
    sys.meta_path.insert(0, WithoutPandas())
    before = _bytes_read()
    counts = CONTENDERS[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({"counts": counts, "bytes_read": _bytes_read() - before}))
