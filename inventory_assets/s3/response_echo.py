"""Compare the request parameters that a response repeats with the request.

A faulty proxy or connection may deliver the response to another request. Its content looks
plausible; only the repeated parameters reveal it.
"""

from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from inventory_assets.s3.decoding.page import Echo
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import Echoed, StoreProfile


def compare(request: PageRequest, echo: Echo, bucket: str) -> Iterator[tuple[Echoed, bool, bool]]:
    """Compare each parameter of the request or the response.

    Yields:
        The parameter, whether the request has it, and whether both agree.

    Args:
        request: The request.
        echo: The parameters that the response repeats.
        bucket: The requested bucket.
    """
    pairs = [(Echoed.NAME, bucket, echo.name), (Echoed.PREFIX, request.prefix, echo.prefix)]
    if not request.versions:
        start_after = "" if request.token else request.start_after
        pairs.append((Echoed.START_AFTER, start_after, echo.start_after))
        pairs.append((Echoed.TOKEN, request.token or "", echo.token))
    for name, sent, repeated in pairs:
        if sent or repeated:
            # Stores differ in whether they encode these; a token is never encoded.
            yield name, bool(sent), sent == repeated or _reads_as(repeated or "", sent)
    if echo.max_keys:
        # A store may report a smaller limit of its own.
        is_number = echo.max_keys.isascii() and echo.max_keys.isdigit()
        yield Echoed.MAX_KEYS, True, is_number and int(echo.max_keys[:9]) <= request.max_keys
    if echo.delimiter and not request.delimiter:
        yield Echoed.DELIMITER, False, False


def _reads_as(repeated: str, sent: str) -> bool:
    return sent in (unquote_plus(repeated), unquote(repeated))


def contradiction(
    request: PageRequest, echo: Echo, bucket: str, profile: StoreProfile
) -> str | None:
    """The name of a repeated parameter that differs from the request, or None.

    Args:
        request: The request.
        echo: The parameters that the response repeats.
        bucket: The requested bucket.
        profile: What the store is known to repeat.
    """
    start_after = None if request.token else request.start_after or None
    max_keys = str(request.max_keys)
    prefix, token = request.prefix or None, request.token
    if echo == Echo(bucket, prefix, start_after, token, max_keys, request.delimiter):
        return None  # nearly every response; `compare` takes several times as long
    for name, is_sent, is_same in compare(request, echo, bucket):
        known = profile.echoes if is_sent else profile.only_if_sent | {Echoed.DELIMITER}
        if not is_same and name in known:
            return name
    return None
