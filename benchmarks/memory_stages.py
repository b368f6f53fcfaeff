"""Two former ways of listing into Parquet: `memory_stages.py NAME URL BUCKET FILE`.

`memory.py` runs this module as a separate process and measures its memory. Both ways page with
boto3, which returns every object as a dict; they differ in how long they keep it.
"""

import sys
from collections.abc import Iterator
from typing import Any

CHUNK_ROWS = 10_000


def objects_of(url: str, bucket: str) -> Iterator[dict[str, Any]]:
    """Every object of the bucket, as boto3 gives it."""
    import boto3

    pages = boto3.client("s3", endpoint_url=url).get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket):
        yield from page.get("Contents", ())  # type: ignore[misc]


def collect(url: str, bucket: str, file: str) -> int:
    """Gather all objects in a list, then make a data frame of it, then write that."""
    import polars as pl

    gathered = list(objects_of(url, bucket))
    pl.DataFrame(gathered).write_parquet(file)
    return len(gathered)


def stream(url: str, bucket: str, file: str) -> int:
    """Write the objects as they come, ten thousand rows at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, writer = 0, None
    chunk: list[dict[str, Any]] = []

    def write() -> None:
        nonlocal count, writer
        table = pa.Table.from_pylist(chunk)
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
        count += len(chunk)
        chunk.clear()

    for found in objects_of(url, bucket):
        chunk.append(found)
        if len(chunk) == CHUNK_ROWS:
            write()
    if chunk:
        write()
    if writer:
        writer.close()
    return count


if __name__ == "__main__":
    print({"collect": collect, "stream": stream}[sys.argv[1]](*sys.argv[2:]))
