"""Recognise responses that are not from S3: web pages, JSON, other services' XML, empty bodies.

They come from a proxy, a captive portal or a console on another port. The first bytes, the headers
and the root element suffice to recognise them; the body is not parsed.
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from inventory_assets.s3.error_wording import one_line_text

_INSPECTED_BYTES = 4096
"""The number of bytes to inspect."""

_OF_S3 = frozenset({"ListBucketResult", "ListVersionsResult", "Error"})
_WEB_PAGE = re.compile(rb"<!doctype\s+html|<html[\s>]", re.IGNORECASE)
_WANTS_TLS = re.compile(rb"HTTP request (?:was sent )?to (?:an )?HTTPS")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)
_BEFORE_ROOT = re.compile(
    rb"(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\])?\s*>)*", re.DOTALL
)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]{0,100})[\s/>]")
_CODE, _MESSAGE = (re.compile(rb"<%s>([^<]{1,300})</" % name) for name in (b"Code", b"Message"))
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"

OTHER_PORT = (
    "give the URL of the S3 API as the endpoint (of its own port, not that of a console or website)"
)
PROXY = "or correct the proxy (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) that answers in its place"


@dataclass(frozen=True, slots=True)
class ForeignResponse:
    """A description of a response that is not from S3.

    Attributes:
        what: What it is, to follow "the response is".
        remedy: What the user can do.
    """

    what: str
    remedy: str = f"{OTHER_PORT}, {PROXY}"


def foreign_response(headers: Mapping[str, str], body: bytes | bytearray) -> ForeignResponse | None:
    """Describe a response that is not from S3; None if it may be from S3, even a damaged one.

    Args:
        headers: The headers, with lower-case names.
        body: The body.
    """
    start = bytes(body[:_INSPECTED_BYTES]).removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not start:
        return ForeignResponse("an empty body")
    if start.startswith(_GZIP):
        return ForeignResponse(
            "compressed data without a Content-Encoding header",
            "switch compression off at the endpoint, or at the proxy in between",
        )
    if _WANTS_TLS.search(start):
        return ForeignResponse(
            "an error of a server that requires TLS", "use https:// in the endpoint's URL"
        )
    if start.startswith((b"{", b"[")):
        return ForeignResponse("JSON" + _quoted(_said_in_json(body) or ""))
    if _WEB_PAGE.search(start):
        title = _TITLE.search(start)
        return ForeignResponse("a web page" + _quoted(_text(title[1]) if title else ""))
    return _of_xml(start) if start.startswith(b"<") else _of_text(headers, start)


def redirect_words(location: str, endpoint: str | None) -> str:
    """The message for a redirect, which is never followed: credentials are for one host only."""
    try:
        target = urlsplit(location)
        host, scheme = target.hostname, target.scheme
        asked = urlsplit(endpoint or "")
    except ValueError:
        return "the endpoint redirects to an invalid URL; correct the endpoint"
    if not host or (host == asked.hostname and scheme == asked.scheme):
        return (
            "the endpoint redirects to another path on its host, which is not followed; "
            f"{OTHER_PORT}"
        )
    if host == asked.hostname:
        return f"the endpoint redirects to {scheme}://; use {scheme}:// in its URL"
    return (
        f"the endpoint redirects to another host, {one_line_text(host)}, to which no "
        "credentials are sent; if that is the store, give it as the endpoint (--endpoint-url), "
        "and if it is a sign-in page, sign in or correct the proxy"
    )


def _of_xml(start: bytes) -> ForeignResponse | None:
    before = _BEFORE_ROOT.match(start)
    found = _ROOT.match(start, before.end() if before else 0)
    if found is None:
        return None
    root = _text(found[1])
    if root in _OF_S3:
        return None
    code, message = _CODE.search(start), _MESSAGE.search(start)
    told = ": ".join(_text(each[1]) for each in (code, message) if each)
    kind = " with a document type" if _DOCTYPE.search(start) else ""
    return ForeignResponse(f"XML of another service or request{kind}, <{root}>{_quoted(told)}")


def _of_text(headers: Mapping[str, str], start: bytes) -> ForeignResponse | None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        return ForeignResponse("a web page")
    if kind.startswith("text/") and kind != "text/xml" and start[:1].isascii():
        return ForeignResponse("text" + _quoted(_text(start[:80])))
    return None


def _said_in_json(body: bytes | bytearray) -> str | None:
    with suppress(ValueError, RecursionError):
        found = json.loads(bytes(body[:_INSPECTED_BYTES]))
        if isinstance(found, dict):
            return next(
                (
                    str(value)
                    for name, value in found.items()
                    if name.lower() in ("message", "error", "code", "errormessage")
                    and isinstance(value, str)
                ),
                None,
            )
    return None


def _quoted(text: str) -> str:
    line = " ".join(one_line_text(text).split())[:80]
    return f" ({line})" if line else ""


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
