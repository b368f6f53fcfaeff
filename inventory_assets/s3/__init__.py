"""How S3 speaks: connections, requests, pages, errors and throttling.

This room knows one bucket and the bytes of its listing. It must not know of shards, dates, Parquet
files or Dagster.
"""

from inventory_assets.s3.connection import Connection
from inventory_assets.s3.errors import Fault, S3Error
from inventory_assets.s3.gate import Cancelled
from inventory_assets.s3.listing import BucketLister, PageRequest, RetryPolicy, Tally
from inventory_assets.s3.pages import OBJECT_SCHEMA, VERSION_SCHEMA, Page
from inventory_assets.s3.received import Received

__all__ = [
    "OBJECT_SCHEMA",
    "VERSION_SCHEMA",
    "BucketLister",
    "Cancelled",
    "Connection",
    "Fault",
    "Page",
    "PageRequest",
    "Received",
    "RetryPolicy",
    "S3Error",
    "Tally",
]
