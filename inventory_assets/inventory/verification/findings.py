"""Differences between a bucket and its inventory, key by key."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pyarrow as pa

CLOCK_SKEW = timedelta(minutes=15)
"""The maximum clock skew with which S3 accepts requests."""

LONGEST_UPLOAD = timedelta(days=7)
"""Assumed maximum duration of a multipart upload. LastModified is the time when the upload began
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html), so the object may have
appeared after a listing that began later."""

COLUMNS = ["key", "size", "last_modified_date", "e_tag"]
"""The key and the columns to compare."""

_VERSION = " (version "


class Finding(StrEnum):
    """The kind of a difference."""

    MISSING = "missing"
    """In the bucket only, and older than the listing."""
    ALTERED = "altered"
    """Size, ETag or LastModified differ, and the object is older than the listing."""
    CREATED_SINCE = "created since"
    """In the bucket only, and perhaps newer than the listing."""
    MODIFIED_SINCE = "modified since"
    """Size, ETag or LastModified differ, and the object is perhaps newer than the listing."""
    MISSING_IN_BUCKET = "gone"
    """In the inventory only: deleted since, or never in the bucket."""
    CONTRADICTED = "contradicted"
    """The store lists it when looked up by name, but not in the listing of its range."""


UNEXPLAINED = (Finding.MISSING, Finding.ALTERED, Finding.CONTRADICTED)
"""The differences that a change since the listing does not explain."""


@dataclass(frozen=True, slots=True)
class ComparedFields:
    """The fields of an object to compare.

    Attributes:
        size: The size in bytes; None for a delete marker.
        last_modified: LastModified.
        e_tag: The ETag; None without one.
    """

    size: int | None
    last_modified: datetime
    e_tag: str | None

    @property
    def is_multipart(self) -> bool:
        """Whether the ETag is that of a multipart upload."""
        return "-" in (self.e_tag or "")


def differences(
    expected: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields], began_at: datetime
) -> dict[str, Finding]:
    """The differences between the inventory and the bucket in the same keys.

    Args:
        expected: The inventory's records, by key.
        found: The bucket's objects, by key.
        began_at: When the inventory's listing began.

    Returns:
        The keys that differ, with the kind of the difference.
    """
    findings: dict[str, Finding] = {}
    for key in expected.keys() | found.keys():
        before, now = expected.get(key), found.get(key)
        if now is None:
            findings[key] = Finding.MISSING_IN_BUCKET
        elif before != now:
            margin = LONGEST_UPLOAD if now.is_multipart else CLOCK_SKEW
            if now.last_modified >= began_at - margin:
                findings[key] = Finding.MODIFIED_SINCE if before else Finding.CREATED_SINCE
            else:
                findings[key] = Finding.ALTERED if before else Finding.MISSING
    return findings


def compared_fields(batches: Iterable[pa.RecordBatch]) -> dict[str, ComparedFields]:
    """The fields to compare, by name. A name is the key, with the version id if that is listed."""
    return dict(_named_fields(batches))


def key_of(name: str, *, has_version: bool) -> str:
    """The key in a name of `compared_fields`."""
    return name.rpartition(_VERSION)[0] if has_version else name


def _named_fields(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, ComparedFields]]:
    for batch in batches:
        keys, *columns = (batch.column(name).to_pylist() for name in COLUMNS)
        if "version_id" in batch.schema.names:
            ids = batch.column("version_id").to_pylist()
            keys = [f"{key}{_VERSION}{name})" for key, name in zip(keys, ids, strict=True)]
        yield from zip(keys, map(ComparedFields, *columns), strict=True)
