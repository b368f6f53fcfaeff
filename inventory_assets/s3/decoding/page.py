"""The values that a response is decoded to, with the schemas of their columns and their limits."""

from dataclasses import dataclass

import pyarrow as pa

from inventory_assets.fast_values import value

MAX_KEYS = 1000
"""Maximum keys in a page, a limit of S3."""

MAX_RESPONSE_BYTES = 16 * 2**20
"""A page of 1,000 keys of 1,024 bytes, each byte percent-encoded, is under 4 MiB."""

MAX_UNREADABLE_BYTES = 4096
"""Maximum bytes kept of an unreadable record."""

OBJECT_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("last_modified_date", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("e_tag", pa.string()),
        pa.field("storage_class", pa.string()),
        pa.field("checksum_algorithm", pa.string()),
        pa.field("object_owner", pa.string()),
    ]
)
"""The columns of a listed object, with S3 Inventory's names."""

VERSION_SCHEMA = pa.schema(
    [
        OBJECT_SCHEMA.field("key"),
        pa.field("version_id", pa.string(), nullable=False),
        pa.field("is_latest", pa.bool_(), nullable=False),
        pa.field("is_delete_marker", pa.bool_(), nullable=False),
        OBJECT_SCHEMA.field("size").with_nullable(True),
        *list(OBJECT_SCHEMA)[2:],
    ]
)
"""The columns of a listed version or delete marker; a delete marker has no size."""

NO_OBJECTS = pa.RecordBatch.from_pylist([], schema=OBJECT_SCHEMA)


@value
class Echo:
    """The request parameters that a response repeats, entities resolved; None if absent or empty.

    Attributes:
        name: The bucket.
        prefix: The prefix as in the response, perhaps url-encoded.
        start_after: `StartAfter`; `KeyMarker` of ListObjectVersions, `Marker` of ListObjects.
        token: `ContinuationToken`.
        max_keys: `MaxKeys`.
        delimiter: `Delimiter`.
    """

    name: str | None = None
    prefix: str | None = None
    start_after: str | None = None
    token: str | None = None
    max_keys: str | None = None
    delimiter: str | None = None


NO_ECHO = Echo()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be decoded.

    Attributes:
        text: The XML of the element as received, at most `MAX_UNREADABLE_BYTES` of it.
        reason: Why, such as "<Size> is '-1', not a number of bytes".
        key: The key, or None if it is not known.
        sort_key: The position in key order: the key; `least_key_from` its bytes, if they are not
            UTF-8; without a key, the readable key before it in the page, or "".
        row: The number of readable records before it in the page.
    """

    text: bytes
    reason: str
    key: str | None
    sort_key: str
    row: int = 0


@value
class Page:
    """One decoded response.

    Attributes:
        objects: Each `Contents`, in the order of the response, with `OBJECT_SCHEMA`; in a versions
            listing each `Version` and `DeleteMarker`, with `VERSION_SCHEMA`.
        common_prefixes: The `CommonPrefixes`, in the order of the response.
        is_truncated: Whether more pages follow; no other element says so.
        next_token: The continuation token of the next page. None if there is no next page, or if
            the response has no token (ListObjects) or one with characters that XML forbids: the
            listing then continues after the last key. In a versions listing, `versions_token` of
            the last record.
        url_encoded: Whether keys were percent-encoded in the response; here they are decoded.
        unreadable: Records and common prefixes that cannot be decoded.
        echo: The request parameters that the response repeats.
        ambiguous: The first keys whose texts in the response contain "%", "+" and a space, each
            with that text; they show how the store encodes keys.
    """

    objects: pa.RecordBatch
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_token: str | None
    url_encoded: bool = False
    unreadable: tuple[Unreadable, ...] = ()
    echo: Echo = NO_ECHO
    ambiguous: tuple[tuple[str, str], ...] = ()

    @property
    def last_key(self) -> str | None:
        """The last known key, perhaps of an unreadable record; None if there is none."""
        count = self.objects.num_rows
        for record in reversed(self.unreadable):
            if record.row == count and record.key is not None:
                return record.key
        return self.objects.column("key")[-1].as_py() if count else None


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """An S3 `<Error>` document; a response of status 200 may contain one, too.

    Attributes:
        code: The S3 error code, such as `SlowDown`.
        message: The S3 error message.
        region: The bucket's region according to S3, or None.
    """

    code: str
    message: str
    region: str | None = None


def versions_token(key: str, version_id: str) -> str:
    """Join the key marker and version id marker of a versions listing into one token."""
    return f"{version_id.replace('%', '%25').replace(' ', '%20')} {key}"


def versions_markers(token: str) -> tuple[str, str]:
    """Split a token of `versions_token` into key and version id."""
    version_id, _, key = token.partition(" ")
    return key, version_id.replace("%20", " ").replace("%25", "%")
