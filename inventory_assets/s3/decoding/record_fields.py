"""Decode the fields of one listed object; used by the complete XML decoder.

An ambiguous value raises `Unclear` and is never guessed. Times may be ISO 8601 in any form, RFC
1123, or a number of seconds, milliseconds, microseconds or nanoseconds; without a zone they are
UTC, like all times of S3.
"""

import re
import sys
from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from inventory_assets.s3.decoding.xml_tree import Element, utf8

NULL_VERSION = "null"
"""The version id of an object that was written while versioning was off."""

_READ = frozenset(
    {
        "Key",
        "Size",
        "LastModified",
        "ETag",
        "StorageClass",
        "ChecksumAlgorithm",
        "VersionId",
        "IsLatest",
    }
)
_SHOWN_CHARACTERS = 40
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_RFC_1123 = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), ?)?"
    rf"([0-9]{{1,2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) ([0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}) ?"
    r"(GMT|UTC|Z|[+-][0-9]{4})"
)
_NAMED_ZONE = re.compile(r" ?(?:[+-]00:?00 )?(?:UTC|GMT|[Zz])\Z")
_FIRST_SECOND, _LAST_SECOND = 946_684_800, 4_102_444_800
"""2000 and 2100. A time between them has a different range of numbers in each unit."""


class Unclear(Exception):
    """A field of a record is missing, invalid or ambiguous."""


def key_bytes(text: str, url_encoded: bool, plus_is_space: bool = True) -> bytes:
    """The bytes of a key that is `text` in a response."""
    if not url_encoded:
        return utf8(text)
    # S3 writes a space as '+' and a plus as %2B, as HTML forms do.
    return unquote_to_bytes(utf8(text.replace("+", " ") if plus_is_space else text))


def key_of(raw: bytes) -> str:
    """Decode the bytes of a key.

    Raises:
        Unclear: They are not UTF-8, or empty.
    """
    if not raw:
        raise Unclear("the key is empty")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Unclear(f"the key {raw[:200]!r} is not UTF-8; S3 allows only UTF-8") from None


def least_key_from(raw: bytes) -> str:
    """The smallest valid key that is not less than these bytes, which may not be UTF-8.

    A key compares to the result as its bytes compare to `raw`, unless it contains U+10FFFF, which
    only the ends of ranges do.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before, rest = raw[: error.start].decode("utf-8"), raw[error.start :]
    point = bisect_left(range(sys.maxunicode), rest, key=_encoded)
    return before + chr(point if not 0xD800 <= point <= 0xDFFF else 0xE000)


def _encoded(point: int) -> bytes:
    return chr(point).encode("utf-8", "surrogatepass")


class Record:
    """The elements of a `Contents`, `Version` or `DeleteMarker`.

    Args:
        element: The record.
    """

    def __init__(self, element: Element) -> None:
        self._element = element
        self._texts: dict[str, str] = {}
        self._repeated: set[str] = set()
        for child in element.elements:
            name = child.name
            if name not in _READ:
                continue
            text = child.text
            if name not in self._texts:
                self._texts[name] = text
            elif name == "ChecksumAlgorithm":
                self._texts[name] += f",{text}"
            elif text != self._texts[name]:
                self._repeated.add(name)

    def needed(self, name: str) -> str:
        """The text of an element.

        Raises:
            Unclear: There is none, or there are several with different texts.
        """
        text = self.text(name)
        if text is None:
            raise Unclear(f"it has no <{name}>")
        return text

    def text(self, name: str) -> str | None:
        """The text of an element, or None if there is none.

        Raises:
            Unclear: There are several with different texts.
        """
        if name in self._repeated:
            raise Unclear(f"it has two <{name}>")
        return self._texts.get(name)

    @property
    def version_id(self) -> str:
        """The version id.

        Raises:
            Unclear: There are several with different texts.
        """
        return self.text("VersionId") or NULL_VERSION

    def _size(self) -> int:
        is_folder = (self.text("Key") or "").endswith(("/", "%2F", "%2f"))
        if is_folder and self.text("Size") is None and not self.text("ETag"):
            return 0  # a folder that the store lists as an object
        return size(self.needed("Size"))

    def fields(self) -> tuple[Any, ...]:
        """All columns except the key, in the order of the schema.

        Raises:
            Unclear: A required field is missing, or a field is ambiguous.
        """
        name = self._element.name
        versions: tuple[Any, ...] = ()
        if name != "Contents":
            is_latest = _flag(self.needed("IsLatest"))
            versions = (self.version_id, is_latest, name == "DeleteMarker")
        texts = (
            (self.text("ETag") or "").strip('"'),
            self.text("StorageClass"),
            self.text("ChecksumAlgorithm"),
            self._element.text_of("Owner", "ID"),
        )
        if not all(_is_utf8(text) for text in (*versions[:1], *texts) if text):
            raise Unclear("one of its texts is not UTF-8")
        return (
            *versions,
            None if name == "DeleteMarker" else self._size(),
            milliseconds(self.needed("LastModified")),
            *(text or None for text in texts),
        )


def size(text: str) -> int:
    """Parse a number of bytes.

    Raises:
        Unclear: The text is not one.
    """
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(2**63))
    if not is_number or int(text) >= 2**63:
        raise Unclear(f"<Size> is {_shown(text)}, not a number of bytes")
    return int(text)


def milliseconds(text: str) -> int:
    """Parse a time; return milliseconds since 1970.

    Raises:
        Unclear: The text is not a time, or ambiguous.
    """
    if text.isascii() and text.isdigit():
        number = int(text) if len(text) <= 19 else 0
        for unit in (1, 10**3, 10**6, 10**9):
            if _FIRST_SECOND * unit <= number < _LAST_SECOND * unit:
                return number * 1000 // unit
        raise Unclear(
            f"<LastModified> is {_shown(text)}, a number that is not a time in 2000 to 2099"
        )
    found = _RFC_1123.fullmatch(text)
    if found:
        day, month, year, clock, zone = found.groups()
        number = _MONTHS.index(month) + 1
        zone = "+0000" if zone.isalpha() else zone
        iso = f"{year}-{number:02}-{day.zfill(2)}T{clock}{zone}"
    else:
        named = _NAMED_ZONE.search(text)
        iso = f"{text[: named.start()]}Z" if named else text
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        raise Unclear(f"<LastModified> is {_shown(text)}, not a time") from None
    if _is_date(iso):
        raise Unclear(f"<LastModified> is {_shown(text)}, a day without a time")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise Unclear(f"<IsLatest> is {_shown(text)}, neither true nor false")
    return text == "true"


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS])
