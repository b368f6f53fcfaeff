"""The result of a shared listing (`inventory list --join`), for readers."""

from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.shared_listing.listing_record import (
    LISTING,
    SharedListing,
    SharedResult,
    read_shared_listing,
)
from inventory_assets.inventory.storage.store import Store

URL_START = "s3://"


def open_joined_store(url: str) -> Store:
    """The store of the shared listing at a URL, with boto3's credentials and endpoint.

    Raises:
        InventoryNotFound: The URL names no bucket.
        StoreError: The session of the bucket cannot be opened.
    """
    from inventory_assets.inventory.storage.bucket_store import BucketStore
    from inventory_assets.s3.bucket_config import BucketConfig

    bucket, _, prefix = url.removeprefix(URL_START).partition("/")
    if not bucket:
        raise InventoryNotFound(f"{url} names no bucket; write it as s3://BUCKET/PREFIX")
    return BucketStore(BucketConfig(bucket), prefix)


def finished_listing(store: Store) -> tuple[SharedListing, SharedResult]:
    """The finished shared listing in a store, and its result.

    Raises:
        InventoryNotFound: There is none, or it is not finished.
        CorruptRecord: Its record is damaged, or of another version of this program.
        StoreError: It cannot be read.
    """
    listing = read_shared_listing(store)
    if listing is None:
        raise InventoryNotFound(
            f"{store.where('')} holds no shared listing; name the URL that `inventory list --join` "
            "was given"
        )
    if listing.result is None:
        state = f"failed ({listing.failure})" if listing.failure else "is not finished"
        raise InventoryNotFound(
            f"the listing in {store.where(LISTING)} {state}; run `inventory list --join` again"
        )
    return listing, listing.result
