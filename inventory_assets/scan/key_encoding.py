"""Verify how a store encodes keys in its responses.

A key with `%`, `+` or a space reads differently in each encoding. The first key with each of these
characters is looked up by its exact name: in the right encoding it exists.
"""

import asyncio
from dataclasses import replace
from urllib.parse import unquote, unquote_plus

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import KeyEncoding, StoreProfile
from inventory_assets.scan.errors import NamesMisread
from inventory_assets.scan.first_page import first_page

_AMBIGUOUS = frozenset("%+ ")
"""Characters whose meaning depends on the store's key encoding."""

_MAX_GONE = 3
"""After this many lookups of keys that no longer exist, the encoding is accepted unproven."""


def page_with_names(lister: PageSource, request: PageRequest, stats: RequestStats) -> Page:
    """Fetch a page and verify the decoding of its names.

    Raises:
        NamesMisread: The names have another encoding than the profile says.
        S3Error: A request failed permanently.
    """
    page = lister.list_page_sync(request, stats)
    asyncio.run(check_names(lister, page, stats))
    return page


async def check_names(lister: PageSource, page: Page, stats: RequestStats) -> None:
    """Verify the decoding of a page's names, once per ambiguous character.

    Looks up the first key with `%`, `+` or a space by its exact name.

    Args:
        lister: The bucket; `proven_names` stores the verified characters.
        page: A page.
        stats: Counts requests and transient errors.

    Raises:
        NamesMisread: The names have another encoding than the profile says.
        S3Error: A request failed permanently.
    """
    for key, raw in page.ambiguous:
        unproven = _AMBIGUOUS.intersection(raw) - lister.proven_names
        if not unproven:
            continue
        encoding = await _encoding_of(lister, key, raw, stats)
        if encoding is None:
            # The key no longer exists: try others, up to a limit.
            lister.names_gone += 1
            if lister.names_gone >= _MAX_GONE:
                lister.proven_names |= unproven
            continue
        if encoding is not lister.profile.encoding:
            lister.proven_names = frozenset()
            raise NamesMisread(
                f"{lister.bucket_config.display_name}: the store encodes keys as '{encoding}', "
                f"expected '{lister.profile.encoding}'; the key {raw!r} shows that",
                encoding,
            )
        lister.proven_names |= unproven


async def _encoding_of(
    lister: PageSource, key: str, raw: str, stats: RequestStats
) -> KeyEncoding | None:
    """The encoding with which the name is an existing key, or None if there is none (any more)."""
    candidates = {key: lister.profile.encoding}
    candidates.setdefault(unquote_plus(raw), KeyEncoding.URL)
    candidates.setdefault(unquote(raw), KeyEncoding.URL_PLUS_LITERAL)
    candidates.setdefault(raw, KeyEncoding.PLAIN)
    for candidate, encoding in candidates.items():
        request = PageRequest(candidate, max_keys=1, encoding=encoding)
        found = await first_page(lister, request, stats)
        if (candidate, raw) in found.ambiguous:
            return encoding
    return None


def corrected(profile: StoreProfile, error: NamesMisread) -> StoreProfile:
    """The profile with the encoding that the error names."""
    return replace(profile, encoding=error.encoding)
