"""Compare what a response repeats of its request with the request.

A proxy that sends an answer twice, or a connection that is out of step, brings the answer to
another request. Most of what stands in it is plausible; what it repeats of its request is not.
"""

from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from inventory_assets.s3.decoding.xml_decoder import Echo
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import Echoed


def compare(request: PageRequest, echo: Echo, bucket: str) -> Iterator[tuple[Echoed, bool]]:
    """Tell for each parameter that is in the request or the response whether both agree.

    Args:
        request: The request.
        echo: What the response repeats.
        bucket: What was asked.
    """
    pairs = [(Echoed.NAME, bucket, echo.name), (Echoed.PREFIX, request.prefix, echo.prefix)]
    if not request.versions:
        start_after = "" if request.token else request.start_after
        pairs.append((Echoed.START_AFTER, start_after, echo.start_after))
        pairs.append((Echoed.TOKEN, request.token or "", echo.token))
    for name, sent, repeated in pairs:
        if sent or repeated:
            # Stores differ in how they encode these; a token is never encoded.
            yield name, sent == repeated or _reads_as(repeated or "", sent)
    if echo.max_keys:
        # A store that sends fewer than it is asked for may say so.
        is_number = echo.max_keys.isascii() and echo.max_keys.isdigit()
        yield Echoed.MAX_KEYS, is_number and int(echo.max_keys[:9]) <= request.max_keys
    if echo.delimiter and not request.delimiter:
        yield Echoed.DELIMITER, False


def _reads_as(repeated: str, sent: str) -> bool:
    return sent in (unquote_plus(repeated), unquote(repeated))


def contradiction(
    request: PageRequest, echo: Echo, bucket: str, echoes: frozenset[Echoed]
) -> str | None:
    """What of a request its response repeats otherwise, by name; None where nothing.

    Args:
        request: The request.
        echo: What the response repeats.
        bucket: What was asked.
        echoes: What the store is known to repeat truly.
    """
    for name, is_same in compare(request, echo, bucket):
        if not is_same and (name in echoes or name is Echoed.DELIMITER):
            return name
    return None
