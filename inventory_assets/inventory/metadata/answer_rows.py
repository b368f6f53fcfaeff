"""Turn the answers of a bucket into rows of metadata."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pyarrow as pa

from inventory_assets.fast_values import value
from inventory_assets.inventory.metadata.schema import IDENTITY_COLUMNS, METADATA_SCHEMA
from inventory_assets.s3.object_answer import ObjectAnswer

_META, _CHECKSUM = "x-amz-meta-", "x-amz-checksum-"
_ENCRYPTION = {"AES256": "SSE-S3", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}
_PARTS = re.compile(r".+-([0-9]{1,6})")
_EXPIRY = re.compile(r'expiry-date="([^"]{1,64})"')
_YEARS = range(1970, 9999)

_DIGITS = re.compile("[0-9]{1,9}")
_NOTHING_TOLD = (None,) * (len(METADATA_SCHEMA) - len(IDENTITY_COLUMNS))

Row = list[object]
"""The values of a row, in the order of `METADATA_SCHEMA`."""


@value
class Asked:
    """An object that is asked for.

    Attributes:
        key: Its key.
        version_id: Its version; None where versions are not listed.
        e_tag: Its ETag, as listed.
        last_modified: Milliseconds since 1970, as listed.
    """

    key: str
    version_id: str | None
    e_tag: str | None
    last_modified: int | None


def answer_row(asked: Asked, answer: ObjectAnswer, fetched_at: int) -> Row:
    """The row of an object, in the order of `METADATA_SCHEMA`.

    Args:
        asked: The object.
        answer: What the bucket said of it.
        fetched_at: When, in milliseconds since 1970.
    """
    row: list[object] = [asked.key, asked.version_id, asked.e_tag, asked.last_modified]
    row += _NOTHING_TOLD
    if answer.headers is not None:
        _set_told(row, answer.headers, asked.e_tag)
    if answer.tags is not None:
        row[_TAGS] = [*answer.tags.items()]
    row[_FETCHED_AT] = fetched_at
    if answer.error is not None:
        row[_ERROR] = answer.error.value
    return row


def _set_told(row: list[object], headers: Mapping[str, str], e_tag: str | None) -> None:
    """Set what headers tell. Most are looked up once, as this runs for every object."""
    user_metadata: list[tuple[str, str]] = []
    for name, text in headers.items():
        at = _TEXT_COLUMNS.get(name)
        if at == _IGNORED:
            continue
        if at is not None:
            row[at] = text if text.isascii() else _readable(text)
        elif name.startswith(_META):
            user_metadata.append((name[11:], text if text.isascii() else _readable(text)))
        elif name.startswith(_CHECKSUM):
            row[_CHECKSUM_ALGORITHM], row[_CHECKSUM_VALUE] = name[15:].upper(), text
        elif name in _CONVERTED:
            at, convert = _CONVERTED[name]
            row[at] = convert(text)
            if name == _RESTORE:
                row[_RESTORE_EXPIRY] = _expiry(text)
    row[_USER_METADATA] = user_metadata
    checksum = row[_CHECKSUM_VALUE]
    if isinstance(checksum, str) and (found := _PARTS.fullmatch(checksum)):
        # Base64 has no `-`, so this is a checksum of checksums, whatever the store tells of it.
        row[_CHECKSUM_TYPE] = row[_CHECKSUM_TYPE] or "COMPOSITE"
        row[_PART_COUNT] = row[_PART_COUNT] or int(found[1])
    # An ETag of 32 characters is that of an object that was uploaded whole.
    if e_tag is not None and len(e_tag) != 32 and row[_PART_COUNT] is None:
        found = _PARTS.fullmatch(e_tag)
        row[_PART_COUNT] = int(found[1]) if found else None


def table_of_rows(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table with `METADATA_SCHEMA`."""
    if not rows:
        return METADATA_SCHEMA.empty_table()
    columns = zip(*rows, strict=True)
    arrays = [
        pa.array(column, field.type) for column, field in zip(columns, METADATA_SCHEMA, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=METADATA_SCHEMA)


def _readable(text: str) -> str:
    """The text of a header, which HTTP reads as Latin-1 and many stores send as UTF-8."""
    with suppress(UnicodeError):
        return text.encode("latin-1").decode("utf-8")
    return text


def _flag(text: str) -> bool:
    return text.lower() == "true"


def _encryption(text: str) -> str:
    return _ENCRYPTION.get(text, text)


def _of_customer(_algorithm: str) -> str:
    return "SSE-C"


def _count(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


def _is_ongoing(restore: str) -> bool:
    return 'ongoing-request="true"' in restore


def _expiry(restore: str) -> datetime | None:
    found = _EXPIRY.search(restore)
    return _time(found[1]) if found else None


def _time(text: str) -> datetime | None:
    """A time in ISO 8601 or as HTTP writes it; None where it is neither."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError, TypeError, OverflowError, IndexError):
            moment = read(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC) if moment.year in _YEARS else None
    return None


_AT = {name: at for at, name in enumerate(METADATA_SCHEMA.names)}
_USER_METADATA, _TAGS = _AT["user_metadata"], _AT["object_tags"]
_CHECKSUM_ALGORITHM, _CHECKSUM_VALUE = _AT["checksum_algorithm"], _AT["checksum"]
_CHECKSUM_TYPE = _AT["checksum_type"]
_RESTORE_EXPIRY, _PART_COUNT = _AT["restore_expiry_date"], _AT["part_count"]
_FETCHED_AT, _ERROR = _AT["fetched_at"], _AT["error"]

_IGNORED = -1
_TEXT_COLUMNS = {
    **dict.fromkeys(
        (
            *("server", "date", "connection", "last-modified", "etag", "accept-ranges"),
            *("content-length", "x-amz-request-id", "x-amz-id-2", "x-amz-version-id"),
            *("x-amz-bucket-region", "x-amz-storage-class", "x-amz-expiration"),
        ),
        _IGNORED,
    ),
    "content-type": _AT["content_type"],
    "content-encoding": _AT["content_encoding"],
    "content-language": _AT["content_language"],
    "content-disposition": _AT["content_disposition"],
    "cache-control": _AT["cache_control"],
    "x-amz-server-side-encryption-aws-kms-key-id": _AT["kms_key_arn"],
    "x-amz-replication-status": _AT["replication_status"],
    "x-amz-object-lock-mode": _AT["object_lock_mode"],
    "x-amz-object-lock-legal-hold": _AT["object_lock_legal_hold_status"],
    "x-amz-archive-status": _AT["archive_status"],
    "x-amz-checksum-type": _AT["checksum_type"],
}
"""The headers that are columns as they are, and common ones that are none."""

_RESTORE = "x-amz-restore"
_CONVERTED: dict[str, tuple[int, Callable[[str], object]]] = {
    "x-amz-server-side-encryption": (_AT["encryption_status"], _encryption),
    "x-amz-server-side-encryption-customer-algorithm": (_AT["encryption_status"], _of_customer),
    "x-amz-server-side-encryption-bucket-key-enabled": (_AT["is_bucket_key_enabled"], _flag),
    "x-amz-object-lock-retain-until-date": (_AT["object_lock_retain_until_date"], _time),
    _RESTORE: (_AT["is_restore_in_progress"], _is_ongoing),
    "x-amz-mp-parts-count": (_PART_COUNT, _count),
    "x-amz-tagging-count": (_AT["tag_count"], _count),
}
"""The headers of which a column is made."""
