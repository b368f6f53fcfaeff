"""Decode one ListObjectsV2 or ListObjectVersions response: the plain, complete decoder.

It reads every field in any order through expat, resolves nothing external and expands no entity
of a document type (a DTD is refused outright), and decodes url-encoded keys exactly once. It is
the reference that any faster decoder is tested against.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_to_bytes
from xml.parsers import expat

import pyarrow as pa

from inventory_assets.s3.errors import MalformedResponse

MAX_KEYS = 1000
"""Keys in a page at most; S3's own bound."""

MAX_RESPONSE_BYTES = 16 * 2**20
"""A page of 1,000 keys of 1,024 bytes, each byte percent-encoded, is under 4 MiB."""

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
"""What a listing tells of an object, under S3 Inventory's column names."""

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
"""What a listing of versions tells of a version or a delete marker, which has no size."""

NULL_VERSION = "null"
"""The version of an object that was put while its bucket kept none."""

NO_OBJECTS = pa.RecordBatch.from_pylist([], schema=OBJECT_SCHEMA)

Body = bytes | bytearray
"""A response's body."""

MAX_ELEMENTS = 64 * MAX_KEYS
"""XML elements in a response at most; S3 sends up to sixteen for a key, and two for a prefix.

Each takes some hundred bytes of memory, and may stand for four bytes of a response.
"""

MAX_TEXTS = 4 * MAX_ELEMENTS
"""Pieces of text that expat tells of at most; comments cut text into pieces of a byte."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Page:
    """One decoded response.

    Attributes:
        objects: The `Contents`, in the order of the response, with `OBJECT_SCHEMA`; of a listing of
            versions each `Version` and `DeleteMarker`, with `VERSION_SCHEMA`.
        common_prefixes: The `CommonPrefixes`, in the order of the response.
        is_truncated: Whether the listing goes on; the only sign that it does.
        next_token: Where it goes on; present just when `is_truncated`. Of a listing of versions,
            what `versions_token` makes.
        url_encoded: Whether the keys came percent-encoded; here they are decoded.
    """

    objects: pa.RecordBatch
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    next_token: str | None
    url_encoded: bool = False

    @property
    def last_key(self) -> str | None:
        """The last key of the page, or None where it has none."""
        return self.objects.column("key")[-1].as_py() if self.objects.num_rows else None


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """An S3 `<Error>` document, which may also arrive inside a response of status 200.

    Attributes:
        code: S3's code, such as `SlowDown`.
        message: S3's words.
        region: The region that S3 says the bucket is in, or None.
    """

    code: str
    message: str
    region: str | None = None


def decode_page(body: Body) -> Page | ErrorDocument:
    """Decode a response body.

    Raises:
        MalformedResponse: The body is too large, truncated, not XML, carries a DTD, is no listing,
            or lacks or garbles a field that an inventory cannot do without.
    """
    if len(body) > MAX_RESPONSE_BYTES:
        raise MalformedResponse(
            f"the response has {len(body):,} bytes; a listing page has at most "
            f"{MAX_RESPONSE_BYTES:,}"
        )
    root = _parse(body)
    if root.name == "Error":
        return ErrorDocument(
            root.text("Code") or "Unknown", root.text("Message") or "", root.text("Region")
        )
    if root.name not in ("ListBucketResult", "ListVersionsResult"):
        raise MalformedResponse(f"expected a ListBucketResult, found <{root.name}>")
    return _page(root)


def versions_token(key: str, version_id: str) -> str:
    """Where a listing of versions goes on, its two markers as one token; no id holds a space."""
    return f"{version_id} {key}"


def versions_markers(token: str) -> tuple[str, str]:
    """The key and the version that `versions_token` was given."""
    version_id, _, key = token.partition(" ")
    return key, version_id


class _Element:
    """An XML element by its local name; a listing needs no attributes."""

    __slots__ = ("chunks", "elements", "name")

    def __init__(self, name: str) -> None:
        self.name = name.rpartition(":")[2]
        self.chunks: list[str] = []
        self.elements: list[_Element] = []

    def all(self, name: str) -> list["_Element"]:
        return [element for element in self.elements if element.name == name]

    def text(self, *path: str) -> str | None:
        """The text of the first element at `path`, or None where there is no such element."""
        element = self
        for name in path:
            found = next((child for child in element.elements if child.name == name), None)
            if found is None:
                return None
            element = found
        return "".join(element.chunks)

    def required(self, name: str) -> str:
        text = self.text(name)
        if text is None:
            raise MalformedResponse(f"<{self.name}> lacks its <{name}>")
        return text


def _parse(body: Body) -> _Element:
    top = _Element("document")
    stack = [top]
    elements = texts = 0

    def start(name: str, _attributes: list[str]) -> None:
        nonlocal elements
        elements += 1
        if elements > MAX_ELEMENTS:
            raise MalformedResponse(
                f"the response has more than {MAX_ELEMENTS:,} elements, which no listing page has"
            )
        element = _Element(name)
        stack[-1].elements.append(element)
        stack.append(element)

    def end(_name: str) -> None:
        stack.pop()

    def text(data: str) -> None:
        nonlocal texts
        texts += 1
        if texts > MAX_TEXTS:
            raise MalformedResponse(
                f"the response has more than {MAX_TEXTS:,} pieces of text, which no listing page "
                "has"
            )
        stack[-1].chunks.append(data)

    def doctype(*_declaration: object) -> None:
        raise MalformedResponse("the response declares a document type, which no listing does")

    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise MalformedResponse(f"the response is not complete, well-formed XML: {error}") from None
    return top.elements[0]


def _page(root: _Element) -> Page:
    truncated = root.required("IsTruncated")
    if truncated not in ("true", "false"):
        raise MalformedResponse(f"<IsTruncated> is {truncated!r}, neither true nor false")
    is_truncated = truncated == "true"
    url_encoded = root.text("EncodingType") == "url"
    if root.name == "ListVersionsResult":
        objects = _versions(root, url_encoded)
        token = _versions_token(root, url_encoded) if is_truncated else None
    else:
        objects = _objects(root.all("Contents"), url_encoded)
        token = root.text("NextContinuationToken") or None
        if is_truncated and token is None:
            raise MalformedResponse("the listing goes on, but names no <NextContinuationToken>")
    return Page(
        objects=objects,
        common_prefixes=tuple(
            _key(element.required("Prefix"), url_encoded) for element in root.all("CommonPrefixes")
        ),
        is_truncated=is_truncated,
        next_token=token if is_truncated else None,
        url_encoded=url_encoded,
    )


def _objects(contents: list[_Element], url_encoded: bool) -> pa.RecordBatch:
    if not contents:
        return NO_OBJECTS
    columns = [
        [_key(element.required("Key"), url_encoded) for element in contents],
        [_size(element.required("Size")) for element in contents],
        [_milliseconds(element.required("LastModified")) for element in contents],
        [_e_tag(element.text("ETag")) for element in contents],
        [element.text("StorageClass") or None for element in contents],
        [_checksum_algorithms(element) for element in contents],
        [element.text("Owner", "ID") or None for element in contents],
    ]
    arrays = [
        pa.array(values, field.type) for values, field in zip(columns, OBJECT_SCHEMA, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=OBJECT_SCHEMA)


def _versions(root: _Element, url_encoded: bool) -> pa.RecordBatch:
    rows = [
        {
            "key": _key(element.required("Key"), url_encoded),
            "version_id": element.text("VersionId") or NULL_VERSION,
            "is_latest": _flag(element.required("IsLatest")),
            "is_delete_marker": element.name == "DeleteMarker",
            "size": None if element.name == "DeleteMarker" else _size(element.required("Size")),
            "last_modified_date": _milliseconds(element.required("LastModified")),
            "e_tag": _e_tag(element.text("ETag")),
            "storage_class": element.text("StorageClass") or None,
            "checksum_algorithm": _checksum_algorithms(element),
            "object_owner": element.text("Owner", "ID") or None,
        }
        for element in root.elements
        if element.name in ("Version", "DeleteMarker")
    ]
    return pa.RecordBatch.from_pylist(rows, VERSION_SCHEMA)


def _versions_token(root: _Element, url_encoded: bool) -> str:
    key, version_id = root.text("NextKeyMarker"), root.text("NextVersionIdMarker")
    if not key or version_id is None or " " in version_id:
        raise MalformedResponse(
            "the listing goes on, but names no <NextKeyMarker> and <NextVersionIdMarker>"
        )
    return versions_token(_key(key, url_encoded), version_id or NULL_VERSION)


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise MalformedResponse(f"<IsLatest> is {text[:40]!r}, neither true nor false")
    return text == "true"


def _key(text: str, url_encoded: bool) -> str:
    if not text:
        raise MalformedResponse("a key is empty")
    if not url_encoded:
        return text
    # S3 writes a space as '+' and a plus as %2B, as HTML forms do.
    raw = unquote_to_bytes(text.replace("+", " "))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedResponse(f"the key {text!r} is not UTF-8; S3 allows only UTF-8") from None


def _size(text: str) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(2**63))
    if not is_number or int(text) >= 2**63:
        raise MalformedResponse(f"<Size> is {text[:40]!r}, not a number of bytes")
    return int(text)


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedResponse(f"<LastModified> is {text!r}, not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise MalformedResponse(f"<LastModified> is {text!r}, which names no time zone")
    return (moment - _EPOCH) // _MILLISECOND


def _e_tag(text: str | None) -> str | None:
    return text.strip('"') or None if text else None


def _checksum_algorithms(element: _Element) -> str | None:
    return ",".join("".join(child.chunks) for child in element.all("ChecksumAlgorithm")) or None
