"""Decompress response bodies: some proxies compress them although no request asks for it."""

import zlib
from collections.abc import Mapping

from inventory_assets.s3.decoding.page import MAX_RESPONSE_BYTES
from inventory_assets.s3.error_wording import one_line_text
from inventory_assets.s3.errors import MalformedResponse, RequestRejected

_GZIP = 16 + zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}


def unpack(headers: Mapping[str, str], body: bytearray, display_name: str) -> None:
    """Decompress a body in place, as its Content-Encoding says.

    Args:
        headers: The response headers, with lower-case names.
        body: The response body.
        display_name: The bucket and endpoint, for messages.

    Raises:
        MalformedResponse: The body is damaged, or longer than `MAX_RESPONSE_BYTES`.
        RequestRejected: The encoding is not supported.
    """
    named = headers.get("content-encoding", "")
    if not named or not body:
        return
    # Some stores return `aws-chunked`, AWS's encoding of chunked uploads; it has no effect here.
    codings = [each.strip().lower() for each in named.split(",")]
    for coding in reversed(
        [each for each in codings if each not in ("identity", "aws-chunked", "")]
    ):
        window = _WINDOWS.get(coding)
        if window is None:
            raise RequestRejected(
                f"{display_name}: the response has the Content-Encoding {one_line_text(coding)!r}, "
                "though none was requested; switch compression off at the endpoint, or at the "
                "proxy in between"
            )
        body[:] = _inflated(body, window)


def _inflated(body: bytearray, window: int) -> bytes:
    inflating = zlib.decompressobj(window)
    try:
        # A few bytes may inflate to gigabytes: the output is bounded by the size of a page.
        found = inflating.decompress(body, MAX_RESPONSE_BYTES + 1)
    except zlib.error as error:
        raise MalformedResponse(f"the compressed response is damaged: {error}") from None
    if len(found) > MAX_RESPONSE_BYTES:
        raise MalformedResponse(
            f"the compressed response has more than {MAX_RESPONSE_BYTES:,} bytes, which no listing "
            "page has"
        )
    if not inflating.eof or inflating.unused_data:
        raise MalformedResponse("the compressed response is cut off, or something follows it")
    return found
