"""How what a bucket shows differs from what its inventory holds, key by key."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pyarrow as pa

CLOCK_SKEW = timedelta(minutes=15)
"""How much S3's clock may differ from this machine's before S3 refuses its requests."""

LONGEST_UPLOAD = timedelta(days=7)
"""For how long an upload in parts may have gone on. Its LastModified is when it was begun
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html), so the object may
have appeared after a listing that began later than that."""

COLUMNS = ["key", "size", "last_modified_date", "e_tag"]
"""Of a record, what is compared."""

_VERSION = " (version "


class Finding(StrEnum):
    """How a key differs."""

    MISSING = "missing"
    """It is in the bucket and not in the inventory, though it is older than the listing."""
    ALTERED = "altered"
    """Size, ETag or LastModified differ, though the object is older than the listing."""
    CREATED_SINCE = "created since"
    """It is in the bucket alone, and may be younger than the listing."""
    MODIFIED_SINCE = "modified since"
    """Size, ETag or LastModified differ, and the object may be younger than the listing."""
    MISSING_IN_BUCKET = "gone"
    """It is in the inventory alone: deleted since, or never there."""
    CONTRADICTED = "contradicted"
    """The store shows it when asked for it by name, and not where it lists what lies around it."""


FAULTS = (Finding.MISSING, Finding.ALTERED, Finding.CONTRADICTED)
"""What nothing explains."""


@dataclass(frozen=True, slots=True)
class ComparedFields:
    """What is compared of an object."""

    size: int | None
    last_modified: datetime
    e_tag: str | None

    @property
    def is_multipart(self) -> bool:
        """Whether it was uploaded in parts, as its ETag tells."""
        return "-" in (self.e_tag or "")


def differences(
    held: Mapping[str, ComparedFields], found: Mapping[str, ComparedFields], began_at: datetime
) -> dict[str, Finding]:
    """Tell how what is found differs from what an inventory holds of the same keys.

    Args:
        held: The inventory's records, by key.
        found: The bucket's objects, by key.
        began_at: When the inventory's listing began.
    """
    findings: dict[str, Finding] = {}
    for key in held.keys() | found.keys():
        before, now = held.get(key), found.get(key)
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
    """By key, with its version if there is one, what is compared of the rows of batches."""
    return dict(_named_fields(batches))


def key_of(name: str, *, has_version: bool) -> str:
    """The key in a name that `facts_of` made."""
    return name.rpartition(_VERSION)[0] if has_version else name


def _named_fields(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, ComparedFields]]:
    for batch in batches:
        keys, *columns = (batch.column(name).to_pylist() for name in COLUMNS)
        if "version_id" in batch.schema.names:
            ids = batch.column("version_id").to_pylist()
            keys = [f"{key}{_VERSION}{name})" for key, name in zip(keys, ids, strict=True)]
        yield from zip(keys, map(ComparedFields, *columns), strict=True)
