"""Open the store that the configuration names."""

from pathlib import Path

from inventory_assets.config import StoreBucket
from inventory_assets.inventory.store import LocalStore, Store


def open_results(store: Path | StoreBucket) -> Store:
    """The store of results; a bucket is not asked for anything yet.

    Raises:
        StoreError: The bucket's connection cannot be opened.
    """
    if isinstance(store, Path):
        return LocalStore(store)
    from inventory_assets.inventory.bucket_store import BucketStore
    from inventory_assets.s3 import Connection

    connection = Connection(
        bucket=store.bucket,
        endpoint_url=store.endpoint_url,
        region=store.region,
        profile=store.profile,
        addressing_style=store.addressing_style,
    )
    return BucketStore(connection, store.prefix)
