"""Compare what a response repeats of its request with the request.

A proxy that sends an answer twice, or a connection that is out of step, brings the answer to another
request. Most of what stands in such an answer is plausible; what it repeats of its request is not.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

from inventory_assets.s3.pages import Echo
from inventory_assets.s3.store_profile import Echoed

if TYPE_CHECKING:
    from inventory_assets.s3.listing import PageRequest


def compare(request: "PageRequest", echo: Echo) -> Iterator[tuple[Echoed, bool]]:
    """Tell for each parameter that is in the request or the response whether both agree."""
    pairs = {Echoed.PREFIX: (request.prefix, echo.prefix)}
    if not request.versions:
        start_after = "" if request.token else request.start_after
        pairs[Echoed.START_AFTER] = (start_after, echo.start_after)
        pairs[Echoed.TOKEN] = (request.token or "", echo.token)
    for name, (sent, repeated) in pairs.items():
        if sent or repeated:
            # Stores differ in how they encode these; a token is never encoded.
            yield name, sent in {repeated, unquote_plus(repeated or ""), unquote(repeated or "")}


def contradiction(request: "PageRequest", echo: Echo, echoes: frozenset[Echoed]) -> str | None:
    """What of a request its response repeats otherwise, by name; None where nothing.

    Args:
        request: The request.
        echo: What the response repeats.
        echoes: What the store is known to repeat truly.
    """
    for name, is_same in compare(request, echo):
        if name in echoes and not is_same:
            return name
    return None
