"""What the demo bucket holds, as plain values, and how they are drawn from keys and days."""

import datetime as dt
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SETTLED_AT = dt.time(1, tzinfo=dt.UTC)
"""The events of a day are before this time."""

PART_BYTES = 8 * 1024 * 1024
"""Objects larger than this were uploaded in parts of this size, as boto3 and the AWS CLI do."""

EMPTY_MD5 = hashlib.md5(b"", usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class DemoObject:
    """A version of an object of the demo bucket.

    Attributes:
        key: Its key.
        size: Its size in bytes; the demo store holds no bytes of it.
        last_modified: When it was stored, UTC, in whole seconds.
        e_tag: Its entity tag, without quotes; `<md5>-<parts>` of a multipart upload.
        storage_class: Its storage class, as a listing names it.
        version_id: The id of the version.
        metadata: Its user metadata, names without `x-amz-meta-`.
        checksum_algorithm: The algorithm of its checksum; None if it has no checksum.
    """

    key: str
    size: int
    last_modified: dt.datetime
    e_tag: str
    storage_class: str
    version_id: str
    metadata: Mapping[str, str]
    checksum_algorithm: str | None


@dataclass(frozen=True, slots=True)
class DemoMarker:
    """A delete marker of the demo bucket.

    Attributes:
        key: The key that was deleted.
        version_id: The id of the marker.
        last_modified: When it was stored, UTC, in whole seconds.
    """

    key: str
    version_id: str
    last_modified: dt.datetime


DemoVersion = DemoObject | DemoMarker


@dataclass(frozen=True, slots=True)
class DemoUpload:
    """A multipart upload that was never completed.

    Attributes:
        key: The key of the object that it would make.
        upload_id: Its id.
        initiated: When it was started, UTC, in whole seconds.
        parts: The sizes of its parts in bytes.
    """

    key: str
    upload_id: str
    initiated: dt.datetime
    parts: Sequence[int]


def digest(*drawn_from: str | int) -> bytes:
    """A hash of 32 bytes that is equal in all processes, unlike `hash`."""
    return hashlib.blake2b("\0".join(map(str, drawn_from)).encode(), digest_size=32).digest()


def share(*drawn_from: str | int) -> float:
    """A number from 0 to 1, exclusive."""
    return int.from_bytes(digest(*drawn_from)[:4]) / (1 << 32)


def version_id(key: str, day: int) -> str:
    """The id of the version of a key that was stored on a day."""
    return digest("version", key, day)[:16].hex()


def e_tag(size: int, md5: str) -> str:
    """The entity tag of an object with a size and content."""
    if size == 0:
        return EMPTY_MD5
    if size > PART_BYTES:
        return f"{md5}-{math.ceil(size / PART_BYTES)}"
    return md5


def settled(day: int) -> dt.datetime:
    """The time after all events of a day."""
    return dt.datetime.combine(dt.date.fromordinal(day), SETTLED_AT)
