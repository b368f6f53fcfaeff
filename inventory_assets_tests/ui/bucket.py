"""The bucket that the UI tests inventory: a few hundred keys in moto, changed under its server."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import FakeKey, s3_backends

NAME = "ui-bucket"

HOSTILE_PREFIX = "<img src=x onerror=alert(1)>/"
HOSTILE_KEYS = (
    "-hostile/\"double\" and 'single'",
    "-hostile/<script>alert(1)</script>",
    "-hostile/=1+1",
    "-hostile/C:\\back\\slash",
    "-hostile/line\nbreak",
    "-hostile/right-to-left \u202egnp.exe",
)
SHOWN_HOSTILE_KEYS = (
    "-hostile/\"double\" and 'single'",
    "-hostile/<script>alert(1)</script>",
    "-hostile/=1+1",
    "-hostile/C:\\back\\slash",
    "-hostile/line\\nbreak",
    "-hostile/right-to-left \\u202egnp.exe",
)
"""The same as the UI has to show them: what is not printable escaped, all else as it is."""

COUNTS: Mapping[str, int] = MappingProxyType({"logs/": 150, "photos/": 120, HOSTILE_PREFIX: 20})
ROOT_KEYS = ("README.txt", "index.html")
SHARD_KEYS = (
    "@remainder",
    "-hostile/",
    "%3Cimg%20src=x%20onerror=alert%281%29%3E/",
    "logs/",
    "photos/",
)
"""In the order in which discovery finds them."""
ALL_KEYS = len(HOSTILE_KEYS) + sum(COUNTS.values()) + len(ROOT_KEYS)

_WRITTEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def fill() -> None:
    """Make the bucket, with all its keys."""
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    if NAME not in backend.buckets:
        backend.create_bucket(NAME, "us-east-1")
    numbered = (f"{prefix}{n:04}" for prefix, count in COUNTS.items() for n in range(count))
    put([*ROOT_KEYS, *HOSTILE_KEYS, *numbered])


def put(keys: Iterable[str]) -> None:
    """Add keys. HTTP would not do: moto cannot route a key with a line break."""
    bucket: Any = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_bucket(NAME)
    # A request under way keeps what it began to read.
    store = type(bucket.keys)()
    for key in bucket.keys:
        store.setlist(key, bucket.keys.getlist(key))
    for key in keys:
        store.setlist(key, [_fake_key(key)])
    bucket.keys = store


def _fake_key(key: str) -> FakeKey:
    fake = FakeKey(
        name=key,
        value=b"",
        account_id=DEFAULT_ACCOUNT_ID,
        region_name="us-east-1",
        bucket_name=NAME,
        version_id="null",
        max_buffer_size=1,
    )
    fake.contentsize = 1024
    fake.last_modified = _WRITTEN
    fake.disposed = True  # there is no file to close, which moto would else warn about
    return fake
