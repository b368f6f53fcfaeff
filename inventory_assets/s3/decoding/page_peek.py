"""Find what the next request needs in a page, without decoding the page.

A byte search at both ends of the body finds the token, the last key and the echoed parameters.
Where the search is not conclusive, the XML decoder decodes the page. The complete decoder's result
is compared with these values later.
"""

import re
from collections.abc import Sequence

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.page import NO_ECHO, Echo, ErrorDocument, versions_token
from inventory_assets.s3.decoding.record_fields import NULL_VERSION, Unclear, key_bytes, key_of
from inventory_assets.s3.decoding.xml_decoder import decode_page, is_url_encoded
from inventory_assets.s3.decoding.xml_tree import Body, is_legal
from inventory_assets.s3.store_profile import KeyEncoding

_END, _END_OF_VERSIONS = b"</ListBucketResult>", b"</ListVersionsResult>"
_END_BYTES = 64
_OBJECTS = ((b"<Contents>", b"</Contents>"),)
_VERSIONS = ((b"<Version>", b"</Version>"), (b"<DeleteMarker>", b"</DeleteMarker>"))
"""The tags of listed objects and versions."""

_TEXT_ELEMENTS = re.compile(r"<([A-Za-z]+)(?:/>|>([^<]*)</\1>)")
_PREFIXES = re.compile(rb"<CommonPrefixes>.*?</CommonPrefixes>", re.DOTALL)
_REFERENCE = re.compile("&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class _Inconclusive(Exception):
    """The byte search is not conclusive."""


@value
class RawPage:
    """A page that is not decoded yet.

    Attributes:
        body: The response body.
        is_truncated: Whether more pages follow.
        next_token: The token of the next page, or None; see `Page.next_token`.
        last_key: The last key of the page, or None if it has no keys.
        echo: The request parameters that the response repeats.
    """

    body: Body
    is_truncated: bool
    next_token: str | None
    last_key: str | None
    echo: Echo = NO_ECHO


def peek_page(body: Body, encoding: KeyEncoding = KeyEncoding.DECLARED) -> RawPage | ErrorDocument:
    """Find the token, the last key and the echo of a response body.

    Args:
        body: The response body.
        encoding: How keys are encoded in it.

    Raises:
        MalformedResponse: It is no listing, or is truncated.
    """
    try:
        return _scan_header(body, encoding)
    except _Inconclusive:
        return _decode(body, encoding)


def _scan_header(body: Body, encoding: KeyEncoding) -> RawPage:
    """Peek by byte search alone.

    Raises:
        _Inconclusive: The page must be decoded.
    """
    if b"!" in body and b"<!" in body:
        raise _Inconclusive  # a comment or CDATA; searching for "!" first is a hundred times faster
    of_versions = bytes(body[-_END_BYTES:]).rstrip().endswith(_END_OF_VERSIONS)
    first, start, last = _records_in(body, _VERSIONS if of_versions else _OBJECTS)
    around = bytes(body[:first] + body[last:])
    if not around.rstrip().endswith(_END_OF_VERSIONS if of_versions else _END):
        raise _Inconclusive
    texts = _texts(around)
    truncated = texts.get("IsTruncated")
    if truncated not in ("true", "false"):
        raise _Inconclusive
    record = bytes(body[start:last])
    url_encoded = is_url_encoded(encoding, texts.get("EncodingType"))
    last_key = _key(_unique_element_text(record, b"Key"), url_encoded, encoding)
    token = texts.get("NextContinuationToken") or None
    if of_versions and truncated == "true":
        if b"<CommonPrefixes>" in around:
            raise _Inconclusive
        token = versions_token(
            last_key, _text(_unique_element_text(record, b"VersionId")) or NULL_VERSION
        )
    elif token and (truncated == "false" or not is_legal(token)):
        raise _Inconclusive
    return RawPage(body, truncated == "true", token, last_key, _echo(texts))


def _records_in(body: Body, tags: Sequence[tuple[bytes, bytes]]) -> tuple[int, int, int]:
    """Where the first record begins, where the last one does, and where that has its closing tag.

    Raises:
        _Inconclusive: There are no records.
    """
    first = last = start = -1
    for opened, closed in tags:
        at = body.find(opened)
        first = at if first < 0 or 0 <= at < first else first
        last = max(last, body.rfind(closed))
    if first < 0 or last < first:
        raise _Inconclusive
    for opened, _ in tags:
        start = max(start, body.rfind(opened, first, last))
    return first, start, last


def _texts(around: bytes) -> dict[str, str]:
    """The text of each element outside the records and common prefixes, by name.

    Raises:
        _Inconclusive: An element is repeated or nested, or has attributes.
    """
    if b"<CommonPrefixes>" in around:
        around = _PREFIXES.sub(b"", around)
    document = _decoded(around)
    leaves = _TEXT_ELEMENTS.findall(document)
    texts = dict(leaves)
    # The outermost element, the last tag of the last record, and a declaration.
    others = 3 + document.startswith("<?xml")
    plain = len(leaves) + document.count("</") - 2
    if document.count("<") != plain + others or len(texts) < len(leaves):
        raise _Inconclusive
    if "&" in document:
        return {name: _without_references(text) for name, text in leaves}
    return texts


def _echo(texts: dict[str, str]) -> Echo:
    of = texts.get
    return Echo(
        of("Name") or None,
        of("Prefix") or None,
        of("StartAfter") or of("KeyMarker") or of("Marker") or None,
        of("ContinuationToken") or None,
        of("MaxKeys") or None,
        of("Delimiter") or None,
    )


def _unique_element_text(record: bytes, name: bytes) -> bytes | None:
    """The text of the only element with this name, or None if there is none.

    Raises:
        _Inconclusive: There are several (perhaps within an unknown element), or it has attributes.
    """
    count = record.count(b"<" + name)
    if not count:
        return None
    opened = b"<" + name + b">"
    start = record.find(opened) + len(opened)
    stop = record.find(b"</" + name + b">")
    found = record[start:stop]
    if count > 1 or start < len(opened) or stop < start or b"<" in found:
        raise _Inconclusive
    return found


def _text(raw: bytes | None) -> str | None:
    """A text with its entities resolved; None if it is absent or empty."""
    return _without_references(_decoded(raw)) if raw else None


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _Inconclusive from None


def _without_references(text: str) -> str:
    if "&" not in text:
        return text
    found, count = _REFERENCE.subn(_referred, text)
    if count != text.count("&"):
        raise _Inconclusive
    return found


def _referred(found: re.Match[str]) -> str:
    name, decimal, hexadecimal = found.groups()
    if name:
        return _NAMED[name]
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise _Inconclusive
    return chr(number)


def _key(raw: bytes | None, url_encoded: bool, encoding: KeyEncoding) -> str:
    text = _text(raw)
    if not text:
        raise _Inconclusive
    plus_is_space = encoding is not KeyEncoding.URL_PLUS_LITERAL
    try:
        return key_of(key_bytes(text, url_encoded, plus_is_space))
    except Unclear:
        raise _Inconclusive from None


def _decode(body: Body, encoding: KeyEncoding) -> RawPage | ErrorDocument:
    page = decode_page(body, encoding)
    if isinstance(page, ErrorDocument):
        return page
    return RawPage(body, page.is_truncated, page.next_token, page.last_key, page.echo)
