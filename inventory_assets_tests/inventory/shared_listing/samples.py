"""Shared listings for tests."""

from inventory_assets.inventory.shared_listing.listing_record import (
    FORMAT,
    SharedListing,
    SharedRequest,
)
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.store_profile import AWS
from inventory_assets_tests.inventory.samples import NOW

LEASE = 60.0


def request(bucket: str = "model", prefix: str = "") -> SharedRequest:
    return SharedRequest.of(BucketConfig(bucket), prefix, None, Encodings.COMPACT)


def listing(identity: str = "one") -> SharedListing:
    return SharedListing(FORMAT, identity, request(), NOW, LEASE, AWS)
