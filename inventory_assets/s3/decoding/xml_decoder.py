"""Decode a page of ListObjects, ListObjectsV2 or ListObjectVersions: the complete decoder.

It accepts fields in any order and decodes url-encoded keys exactly once. Tests compare the faster
decoder with it. An ambiguous record becomes an `Unreadable`; an inconsistent page is malformed as
a whole.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html,
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from inventory_assets.s3.decoding.page import (
    MAX_RESPONSE_BYTES,
    MAX_UNREADABLE_BYTES,
    OBJECT_SCHEMA,
    VERSION_SCHEMA,
    Echo,
    ErrorDocument,
    Page,
    Unreadable,
    versions_token,
)
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

_OF_OBJECTS, _OF_VERSIONS = "ListBucketResult", "ListVersionsResult"
_RECORDS = {_OF_OBJECTS: ("Contents",), _OF_VERSIONS: ("Version", "DeleteMarker")}
_AMBIGUOUS = frozenset("%+ ")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The elements of a response except its records.

    Attributes:
        of_versions: Whether it is a ListObjectVersions response.
        common_prefixes: As in a `Page`.
        is_truncated: Whether more pages follow.
        token: The valid `NextContinuationToken`; in a versions listing, the next markers.
        url_encoded: Whether the keys are percent-encoded.
        plus_is_space: Whether "+" in a percent-encoded key is a space.
        key_count: `KeyCount`, or None.
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
        """The bytes of a key that is `text` in the response."""
        return key_bytes(text, self.url_encoded, self.plus_is_space)

    def check_count(self, records: int) -> None:
        """Compare the number of records with `KeyCount`.

        Raises:
            MalformedResponse: They differ; stores may count common prefixes or not.
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
        body: The response body.
        encoding: How keys are encoded in it.

    Raises:
        MalformedResponse: The body is too large, truncated, not XML, has a DTD, is no listing,
            lacks `IsTruncated`, or is inconsistent.
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
    """Decode the envelope of a response from which the records were removed.

    Raises:
        MalformedResponse: As for `decode_page`; or there are records.
    """
    root = _root(body)
    if root.name == "Error":
        return _error(root)
    if any(element.name in _RECORDS[root.name] for element in root.elements):
        raise MalformedResponse("the envelope contains records")
    return _envelope(root, encoding)


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
    # A token with characters that XML forbids may be misread: do not send it back.
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
                sort_key = least_key_from(raw)
                unreadable.append(Unreadable(text, f"a common prefix: {why}", None, sort_key))
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
    """The next markers of a versions listing as a token, or None."""
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
            sort_key = key or (least_key_from(raw) if raw else before)
            verbatim = element.verbatim()[:MAX_UNREADABLE_BYTES]
            unreadable.append(Unreadable(verbatim, f"{why}", key, sort_key, len(rows)))
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
    """The token of the page after this one, or None.

    Args:
        envelope: The envelope of the page.
        last_version: In a versions listing, `versions_token` of the last record with a known key,
            or None. It takes precedence over the store's markers, which some stores encode
            differently from keys or send without a version.

    Raises:
        MalformedResponse: A versions listing is truncated, but no marker is known.
    """
    if not envelope.of_versions or not envelope.is_truncated:
        return envelope.token
    if envelope.common_prefixes or last_version is None:
        last_version = envelope.token
    if last_version is None:
        raise MalformedResponse(
            "the listing is truncated, but has no key to continue after and no <NextKeyMarker>"
        )
    return last_version
