"""The peers that are libraries: `python_peers.py NAME URL BUCKET [FILE]`, run by their own Python.

Each lists the whole bucket as its own documentation shows, reads key, size, ETag and time of every
object, and prints their number; or it asks for the metadata of so many objects. It imports only the
packages that it needs.
"""

import sys
from collections.abc import Callable
from typing import Any


def boto3_paginator(url: str, bucket: str) -> int:
    """The paginator of boto3."""
    import boto3  # the peers' Python has no other module of the project's

    pages = boto3.client("s3", endpoint_url=url).get_paginator("list_objects_v2")
    return sum(map(_read, pages.paginate(Bucket=bucket)))


def aiobotocore_paginator(url: str, bucket: str) -> int:
    """The paginator of aiobotocore."""
    import asyncio

    from aiobotocore.session import get_session  # type: ignore[import-not-found]

    async def run() -> int:
        count = 0
        async with get_session().create_client("s3", endpoint_url=url) as client:
            async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                count += _read(page)
        return count

    return asyncio.run(run())


def obstore_drain(url: str, bucket: str) -> int:
    """The Arrow batches of obstore, looked at no further."""
    return sum(batch.num_rows for batch in _obstore_batches(url, bucket))


def obstore_parquet(url: str, bucket: str, file: str) -> int:
    """The Arrow batches of obstore, written by pyarrow with zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, writer = 0, None
    for batch in _obstore_batches(url, bucket):
        table = pa.table(batch)
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
        count += table.num_rows
    if writer:
        writer.close()
    return count


def boto3_heads(url: str, bucket: str, count: str) -> int:
    """HeadObject by boto3 in a pool of threads."""
    from concurrent.futures import ThreadPoolExecutor
    from itertools import islice

    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=CONCURRENCY)
    client = boto3.client("s3", endpoint_url=url, config=config)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = islice((found["Key"] for page in pages for found in page["Contents"]), int(count))

    def ask(key: str) -> bool:
        return _read_head(client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED"))

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return sum(pool.map(ask, keys))


def aiobotocore_heads(url: str, bucket: str, count: str) -> int:
    """HeadObject by tasks of aiobotocore."""
    import asyncio

    from aiobotocore.config import AioConfig  # type: ignore[import-not-found]
    from aiobotocore.session import get_session

    async def run() -> int:
        config = AioConfig(max_pool_connections=CONCURRENCY)
        async with get_session().create_client("s3", endpoint_url=url, config=config) as client:
            keys: list[str] = []
            async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                keys += [found["Key"] for found in page["Contents"]]
                if len(keys) >= int(count):
                    break
            waiting = iter(keys[: int(count)])

            async def work() -> int:
                answered = 0
                for key in waiting:
                    head = await client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
                    answered += _read_head(head)
                return answered

            return sum(await asyncio.gather(*(work() for _ in range(CONCURRENCY))))

    return asyncio.run(run())


def _read_head(head: Any) -> bool:
    """Touch what an inventory needs of an answer."""
    return bool(head["ContentType"] and head["Metadata"] and head["ETag"])


def _obstore_batches(url: str, bucket: str) -> Any:
    import obstore  # type: ignore[import-not-found]
    from obstore.store import S3Store  # type: ignore[import-not-found]

    # obstore takes no certificate of ours, so over TLS it checks none.
    options = {"allow_http": True, "allow_invalid_certificates": url.startswith("https:")}
    store = S3Store(bucket, endpoint=url, client_options=options)
    return obstore.list(store, return_arrow=True, chunk_size=CHUNK_ROWS)


def _read(page: Any) -> int:
    """Touch what an inventory needs of each object; how many there were."""
    rows = [
        (found["Key"], found["Size"], found["ETag"], found["LastModified"])
        for found in page.get("Contents", ())
    ]
    return len(rows)


CHUNK_ROWS = 50_000
CONCURRENCY = 64
PEERS: dict[str, Callable[..., int]] = {
    "boto3": boto3_paginator,
    "aiobotocore": aiobotocore_paginator,
    "boto3-heads": boto3_heads,
    "aiobotocore-heads": aiobotocore_heads,
    "obstore-drain": obstore_drain,
    "obstore-parquet": obstore_parquet,
}

if __name__ == "__main__":
    print(PEERS[sys.argv[1]](*sys.argv[2:]))
