"""Decode a page of ListObjects, ListObjectsV2 or ListObjectVersions: the plain, complete decoder.

It reads every field in any order, and decodes url-encoded keys exactly once. It is the reference
that any faster decoder is tested against. A record that has no single meaning is set aside as
`Unreadable`; a page that contradicts itself is malformed as a whole.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from inventory_assets.s3.decoding.record_fields import (
    NULL_VERSION,
    Record,
    Unclear,
    key_bytes,
    key_of,
    least_key_from,
)
from inventory_assets.s3.decoding.xml_tree import Body, Element, is_legal, parse
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.store_profile import KeyEncoding

MAX_KEYS = 1000
"""Keys in a page at most; S3's own bound."""

MAX_RESPONSE_BYTES = 16 * 2**20
"""A page of 1,000 keys of 1,024 bytes, each byte percent-encoded, is under 4 MiB."""

MAX_UNREADABLE_BYTES = 4096
"""Of a record that cannot be decoded, so much is kept."""

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

NO_OBJECTS = pa.RecordBatch.from_pylist([], schema=OBJECT_SCHEMA)

_OF_OBJECTS, _OF_VERSIONS = "ListBucketResult", "ListVersionsResult"
_RECORDS = {_OF_OBJECTS: ("Contents",), _OF_VERSIONS: ("Version", "DeleteMarker")}
_AMBIGUOUS = frozenset("%+ ")


@dataclass(frozen=True, slots=True)
class Echo:
    """What a response repeats of its request, without entities; None where absent or empty.

    Attributes:
        name: The bucket.
        prefix: The prefix, as it stands there: url-encoded or not.
        start_after: `StartAfter`; of a listing of versions `KeyMarker`, of an old one `Marker`.
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
        text: The XML of the element as it came, at most `MAX_UNREADABLE_BYTES` of it.
        reason: Such as "<Size> is '-1', not a number of bytes".
        key: The key, where that much is certain.
        sort_key: Where it stands: the key; or the least one that is not before it, where its bytes
            are no UTF-8; or where no key is known, the readable key before it in the page, or "".
        row: How many records of the page that can be decoded come before it.
    """

    text: bytes
    reason: str
    key: str | None
    sort_key: str
    row: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """One decoded response.

    Attributes:
        objects: The `Contents`, in the order of the response, with `OBJECT_SCHEMA`; of a listing of
            versions each `Version` and `DeleteMarker`, with `VERSION_SCHEMA`.
        common_prefixes: The `CommonPrefixes`, in the order of the response.
        is_truncated: Whether the listing goes on; the only sign that it does.
        next_token: Where it goes on, or None: where it does not, where the page names none (as in a
            ListObjects of old), or one that cannot be sent back as it is; then the listing goes on
            after the last key. Of a listing of versions, what `versions_token` makes of the page's
            last record.
        url_encoded: Whether the keys came percent-encoded; here they are decoded.
        unreadable: Records that cannot be decoded, and common prefixes.
        echo: What the response repeats of its request.
        ambiguous: The first key whose text in the response holds "%", that holds "+", and that a
            space, each with that text; they show how keys are encoded.
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
        """The last key of the page that is known, its record readable or not; None without any."""
        count = self.objects.num_rows
        for record in reversed(self.unreadable):
            if record.row == count and record.key is not None:
                return record.key
        return self.objects.column("key")[-1].as_py() if count else None


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


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is around the records of a response.

    Attributes:
        of_versions: Whether it is a listing of versions.
        common_prefixes: As in a `Page`.
        is_truncated: Whether the listing goes on.
        token: `NextContinuationToken`, where it can be sent back; of versions what the markers say.
        url_encoded: Whether the keys are percent-encoded.
        plus_is_space: Whether a plus in such a key is a space.
        key_count: What the response says how many records and common prefixes it has, if anything.
        unreadable: Common prefixes that cannot be decoded.
        echo: As in a `Page`.
    """

    of_versions: bool
    common_prefixes: tuple[str, ...]
    is_truncated: bool
    token: str | None
    url_encoded: bool
    plus_is_space: bool
    key_count: int | None
    unreadable: tuple[Unreadable, ...]
    echo: Echo

    def key_bytes(self, text: str) -> bytes:
        """The bytes of a key, as `text` has it in the response."""
        return key_bytes(text, self.url_encoded, self.plus_is_space)

    def check_count(self, records: int) -> None:
        """Check that a response has as many records as it says.

        Raises:
            MalformedResponse: It has not; common prefixes may be counted or not.
        """
        prefixes = len(self.common_prefixes) + len(self.unreadable)
        if self.key_count is not None and self.key_count not in (records, records + prefixes):
            raise MalformedResponse(
                f"<KeyCount> is {self.key_count:,}, but there are {records:,} objects and "
                f"{prefixes:,} common prefixes"
            )


def decode_page(body: Body, encoding: KeyEncoding = KeyEncoding.DECLARED) -> Page | ErrorDocument:
    """Decode a response body.

    Args:
        body: Of the response.
        encoding: How keys stand in it.

    Raises:
        MalformedResponse: The body is too large, truncated, not XML, carries a DTD, is no listing,
            does not tell whether it goes on, or contradicts itself.
    """
    root = _root(body)
    if root.name == "Error":
        return _error(root)
    names = _RECORDS[root.name]
    envelope = _envelope(root, encoding)
    records = [element for element in root.elements if element.name in names]
    envelope.check_count(len(records))
    return _page(envelope, records)


def decode_envelope(
    body: Body, encoding: KeyEncoding = KeyEncoding.DECLARED
) -> Envelope | ErrorDocument:
    """Decode what is around the records of a response, or a response without records.

    Raises:
        MalformedResponse: As `decode_page`; or it has records.
    """
    root = _root(body)
    if root.name == "Error":
        return _error(root)
    if any(element.name in _RECORDS[root.name] for element in root.elements):
        raise MalformedResponse("there are records among what is around them")
    return _envelope(root, encoding)


def versions_token(key: str, version_id: str) -> str:
    """Where a listing of versions goes on, its two markers as one token."""
    return f"{version_id.replace('%', '%25').replace(' ', '%20')} {key}"


def versions_markers(token: str) -> tuple[str, str]:
    """The key and the version that `versions_token` was given."""
    version_id, _, key = token.partition(" ")
    return key, version_id.replace("%20", " ").replace("%25", "%")


def is_url_encoded(encoding: KeyEncoding, declared: str | None) -> bool:
    """Whether keys are percent-encoded in a response whose `EncodingType` is `declared`."""
    if encoding is KeyEncoding.DECLARED:
        return declared == "url"
    return encoding is not KeyEncoding.PLAIN


def _root(body: Body) -> Element:
    if len(body) > MAX_RESPONSE_BYTES:
        raise MalformedResponse(
            f"the response has {len(body):,} bytes; a listing page has at most "
            f"{MAX_RESPONSE_BYTES:,}"
        )
    root = parse(body)
    if root.name != "Error" and root.name not in _RECORDS:
        raise MalformedResponse(f"expected a ListBucketResult, found <{root.name}>")
    return root


def _error(root: Element) -> ErrorDocument:
    return ErrorDocument(
        root.text_of("Code") or "Unknown", root.text_of("Message") or "", root.text_of("Region")
    )


def _envelope(root: Element, encoding: KeyEncoding) -> Envelope:
    of_versions = root.name == _OF_VERSIONS
    is_truncated = _is_truncated(root)
    url_encoded = is_url_encoded(encoding, root.text_of("EncodingType"))
    plus_is_space = encoding is not KeyEncoding.URL_PLUS_LITERAL
    if of_versions:
        token = _markers(root, url_encoded, plus_is_space)
    else:
        token = _token(root, is_truncated)
    count = root.text_of("KeyCount") or ""
    prefixes, unreadable = _common_prefixes(root, url_encoded, plus_is_space)
    return Envelope(
        of_versions=of_versions,
        common_prefixes=prefixes,
        is_truncated=is_truncated,
        token=token if is_truncated else None,
        url_encoded=url_encoded,
        plus_is_space=plus_is_space,
        key_count=int(count) if count.isascii() and count.isdigit() and len(count) < 10 else None,
        unreadable=unreadable,
        echo=_echo(root),
    )


def _is_truncated(root: Element) -> bool:
    texts = [element.text for element in root.all("IsTruncated")]
    if not texts:
        raise MalformedResponse(f"<{root.name}> lacks its <IsTruncated>")
    if len(texts) > 1:
        raise MalformedResponse("there are two <IsTruncated>")
    if texts[0] not in ("true", "false"):
        raise MalformedResponse(f"<IsTruncated> is {texts[0][:40]!r}, neither true nor false")
    return texts[0] == "true"


def _token(root: Element, is_truncated: bool) -> str | None:
    tokens = {element.text for element in root.all("NextContinuationToken")} - {""}
    if tokens and not is_truncated:
        raise MalformedResponse("<IsTruncated> is false, but there is a <NextContinuationToken>")
    if len(tokens) > 1:
        raise MalformedResponse("there are two <NextContinuationToken>")
    # Of a token that holds what XML forbids, nobody knows how the store reads it.
    return next(filter(is_legal, tokens), None)


def _common_prefixes(
    root: Element, url_encoded: bool, plus_is_space: bool
) -> tuple[tuple[str, ...], tuple[Unreadable, ...]]:
    prefixes: list[str] = []
    unreadable: list[Unreadable] = []
    for element in root.all("CommonPrefixes"):
        names = [*element.all("Prefix")]
        if not names:
            raise MalformedResponse("<CommonPrefixes> lacks its <Prefix>")
        for name in names:
            raw = key_bytes(name.text, url_encoded, plus_is_space)
            try:
                prefixes.append(key_of(raw))
            except Unclear as why:
                text = element.verbatim()[:MAX_UNREADABLE_BYTES]
                place = least_key_from(raw)
                unreadable.append(Unreadable(text, f"a common prefix: {why}", None, place))
    return tuple(prefixes), tuple(unreadable)


def _echo(root: Element) -> Echo:
    def text(*names: str) -> str | None:
        return next((text for name in names if (text := root.text_of(name))), None)

    return Echo(
        name=text("Name"),
        prefix=text("Prefix"),
        start_after=text("StartAfter", "KeyMarker", "Marker"),
        token=text("ContinuationToken"),
        max_keys=text("MaxKeys"),
        delimiter=text("Delimiter"),
    )


def _markers(root: Element, url_encoded: bool, plus_is_space: bool) -> str | None:
    """Where the store says that a listing of versions goes on."""
    marker = root.text_of("NextKeyMarker")
    if not marker:
        return None
    try:
        key = key_of(key_bytes(marker, url_encoded, plus_is_space))
    except Unclear:
        return None
    return versions_token(key, root.text_of("NextVersionIdMarker") or NULL_VERSION)


def _page(envelope: Envelope, elements: list[Element]) -> Page:
    schema = VERSION_SCHEMA if envelope.of_versions else OBJECT_SCHEMA
    rows: list[tuple[Any, ...]] = []
    unreadable: list[Unreadable] = []
    last_version: str | None = None
    ambiguous: dict[str, tuple[int, str, str]] = {}
    for element in elements:
        record = Record(element)
        key: str | None = None
        raw = b""
        try:
            text = record.needed("Key")
            raw = envelope.key_bytes(text)
            key = key_of(raw)
            last_version = versions_token(key, record.version_id)
            rows.append((key, *record.fields()))
        except Unclear as why:
            before = rows[-1][0] if rows else ""
            place = key or (least_key_from(raw) if raw else before)
            verbatim = element.verbatim()[:MAX_UNREADABLE_BYTES]
            unreadable.append(Unreadable(verbatim, f"{why}", key, place, len(rows)))
            continue
        for character in _AMBIGUOUS.intersection(text):
            ambiguous.setdefault(character, (len(rows), key, text))
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    return Page(
        objects=pa.RecordBatch.from_arrays(arrays, schema=schema),
        common_prefixes=envelope.common_prefixes,
        is_truncated=envelope.is_truncated,
        next_token=next_token(envelope, last_version),
        url_encoded=envelope.url_encoded,
        unreadable=(*unreadable, *envelope.unreadable),
        echo=envelope.echo,
        ambiguous=tuple((key, text) for _, key, text in sorted(set(ambiguous.values()))),
    )


def next_token(envelope: Envelope, last_version: str | None) -> str | None:
    """Where a listing goes on after a page.

    Args:
        envelope: Of the page.
        last_version: Of a listing of versions, what `versions_token` makes of the last record whose
            key is known, or None. The markers that the store names are not heeded where there is
            one: some stores do not encode them as keys, or name no version.

    Raises:
        MalformedResponse: A listing of versions goes on, but nobody can tell where.
    """
    if not envelope.of_versions or not envelope.is_truncated:
        return envelope.token
    if envelope.common_prefixes or last_version is None:
        last_version = envelope.token
    if last_version is None:
        raise MalformedResponse(
            "the listing goes on, but there is no key that it could go on after, and no "
            "<NextKeyMarker>"
        )
    return last_version
