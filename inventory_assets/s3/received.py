"""A page as it was received: its bytes, and the little that asking for the next page takes.

That little is found by byte search at the ends of the body, where it stands in every store's
responses. What a search cannot be sure of is left to the complete decoder, and whoever decodes the
page compares.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from inventory_assets.s3.pages import Body, ErrorDocument, decode_page, versions_token

_END, _END_OF_VERSIONS = b"</ListBucketResult>", b"</ListVersionsResult>"
_END_BYTES = 64
_OBJECTS, _VERSIONS = (b"Contents",), (b"Version", b"DeleteMarker")
"""The elements that stand for what is listed."""


@dataclass(frozen=True, slots=True)
class Received:
    """A page, not yet decoded.

    Attributes:
        body: The response.
        is_truncated: Whether the listing goes on.
        next_token: Where it goes on; present whenever `is_truncated`.
        last_key: The last key of the page, or None where it has none.
    """

    body: Body
    is_truncated: bool
    next_token: str | None
    last_key: str | None


def receive(body: Body) -> Received | ErrorDocument:
    """Take a response body.

    Raises:
        MalformedResponse: It is no listing, or is cut off.
    """
    return _glance(body) or _decode(body)


def _glance(body: Body) -> Received | None:
    """What byte search finds, or None where it cannot be sure."""
    if b"!" in body and b"<!" in body:
        return None  # a comment or CDATA may hold anything; "!" alone is a hundred times faster
    of_versions = bytes(body[-_END_BYTES:]).rstrip().endswith(_END_OF_VERSIONS)
    names = _VERSIONS if of_versions else _OBJECTS
    begins = [at for name in names if (at := body.find(b"<" + name + b">")) >= 0]
    last = max(body.rfind(b"</" + name + b">") for name in names)
    if not begins or last < (first := min(begins)):
        return None
    around = bytes(body[:first] + body[last:])
    if not around.rstrip().endswith(_END_OF_VERSIONS if of_versions else _END):
        return None
    start = max(body.rfind(b"<" + name + b">", first, last) for name in names)
    key = _only(bytes(body[start:last]), b"Key")  # an unknown element may hold another
    encoding = _only(around, b"EncodingType")
    if encoding is None and b"EncodingType" in around:
        return None
    is_url = encoding == b"url"
    last_key = _key(key, url_encoded=is_url) if key else None
    truncated = _only(around, b"IsTruncated")
    if truncated == b"false":
        return Received(body, False, None, last_key) if last_key else None
    token = _plain(around, b"NextVersionIdMarker" if of_versions else b"NextContinuationToken")
    if truncated != b"true" or not last_key or not token:
        return None
    if of_versions:
        marker = _key(_only(around, b"NextKeyMarker") or b"", url_encoded=is_url)
        if not marker or " " in token:
            return None
        token = versions_token(marker, token)
    return Received(body, True, token, last_key)


def _plain(text: bytes, name: bytes) -> str | None:
    """The text of the only element of a name, where it needs no decoding."""
    found = _only(text, name)
    return found.decode() if found and b"&" not in found and found.isascii() else None


def _key(text: bytes, *, url_encoded: bool) -> str | None:
    if text.translate(None, b"<>&\r") != text:
        return None
    try:
        return (unquote_to_bytes(text.replace(b"+", b" ")) if url_encoded else text).decode()
    except UnicodeDecodeError:
        return None


def _only(text: bytes, name: bytes) -> bytes | None:
    """The text of the only element of a name, or None where there is not just one."""
    opened = b"<" + name + b">"
    start = text.find(opened)
    if start < 0 or text.find(opened, start + 1) >= 0:
        return None
    start += len(opened)
    stop = text.find(b"</" + name + b">", start)
    found = text[start:stop]
    return found if stop > start and b"<" not in found else None


def _decode(body: Body) -> Received | ErrorDocument:
    page = decode_page(body)
    if isinstance(page, ErrorDocument):
        return page
    return Received(body, page.is_truncated, page.next_token, page.last_key)
