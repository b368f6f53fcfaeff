"""Turn the answers of a bucket into rows of metadata."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

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

Row = tuple[object, ...]
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
        row[_TAGS] = (*answer.tags.items(),)
    row[_FETCHED_AT] = fetched_at
    if answer.error is not None:
        row[_ERROR] = answer.error.value
    # The garbage collector does not look again at tuples of texts and numbers.
    return tuple(row)


def _set_told(row: list[object], headers: Mapping[str, str], e_tag: str | None) -> None:
    """Set what headers tell."""
    columns, user_metadata = _columns_of((*headers,))
    for header, at, convert in columns:
        row[at] = convert(headers[header])
    row[_USER_METADATA] = tuple(
        [(name, _readable(headers[header])) for header, name in user_metadata]
    )
    checksum = row[_CHECKSUM_VALUE]
    if isinstance(checksum, str) and (found := _PARTS.fullmatch(checksum)):
        # Base64 has no `-`, so this is a checksum of checksums, whatever the store tells of it.
        row[_CHECKSUM_TYPE] = row[_CHECKSUM_TYPE] or "COMPOSITE"
        row[_PART_COUNT] = row[_PART_COUNT] or int(found[1])
    # An ETag of 32 characters is that of an object that was uploaded whole.
    if e_tag is not None and len(e_tag) != 32 and row[_PART_COUNT] is None:
        found = _PARTS.fullmatch(e_tag)
        row[_PART_COUNT] = int(found[1]) if found else None


@lru_cache(maxsize=256)
def _columns_of(
    headers: tuple[str, ...],
) -> tuple[list[tuple[str, int, Callable[[str], object]]], list[tuple[str, str]]]:
    """What is made of headers, by their names, which are the same for most objects of a bucket.

    Returns:
        The headers that become a column, with its position and what converts them; and those of
        user metadata, with the names without prefix.
    """
    columns: list[tuple[str, int, Callable[[str], object]]] = []
    for header in headers:
        if header in _COLUMNS:
            columns.append((header, *_COLUMNS[header]))
        elif header.startswith(_CHECKSUM):
            algorithm = header.removeprefix(_CHECKSUM).upper()
            columns.append((header, _CHECKSUM_ALGORITHM, _constant(algorithm)))
            columns.append((header, _CHECKSUM_VALUE, str))
        if header == _RESTORE:
            columns.append((header, _RESTORE_EXPIRY, _expiry))
    named = [(each, each.removeprefix(_META)) for each in headers if each.startswith(_META)]
    return columns, named


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
    if text.isascii():
        return text
    with suppress(UnicodeError):
        return text.encode("latin-1").decode("utf-8")
    return text


def _constant(value: str) -> Callable[[str], str]:
    return lambda _text: value


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

_RESTORE = "x-amz-restore"
_COLUMNS: dict[str, tuple[int, Callable[[str], object]]] = {
    "content-type": (_AT["content_type"], _readable),
    "content-encoding": (_AT["content_encoding"], _readable),
    "content-language": (_AT["content_language"], _readable),
    "content-disposition": (_AT["content_disposition"], _readable),
    "cache-control": (_AT["cache_control"], _readable),
    "x-amz-server-side-encryption": (_AT["encryption_status"], _encryption),
    "x-amz-server-side-encryption-customer-algorithm": (_AT["encryption_status"], _of_customer),
    "x-amz-server-side-encryption-aws-kms-key-id": (_AT["kms_key_arn"], _readable),
    "x-amz-server-side-encryption-bucket-key-enabled": (_AT["is_bucket_key_enabled"], _flag),
    "x-amz-replication-status": (_AT["replication_status"], _readable),
    "x-amz-object-lock-mode": (_AT["object_lock_mode"], _readable),
    "x-amz-object-lock-retain-until-date": (_AT["object_lock_retain_until_date"], _time),
    "x-amz-object-lock-legal-hold": (_AT["object_lock_legal_hold_status"], _readable),
    "x-amz-archive-status": (_AT["archive_status"], _readable),
    _RESTORE: (_AT["is_restore_in_progress"], _is_ongoing),
    "x-amz-checksum-type": (_AT["checksum_type"], _readable),
    "x-amz-mp-parts-count": (_PART_COUNT, _count),
    "x-amz-tagging-count": (_AT["tag_count"], _count),
}
"""The column of a header, and what converts it. Checksums and user metadata have many headers."""
