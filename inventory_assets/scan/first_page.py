"""Request the first page that has names: some stores send empty pages before it."""

from dataclasses import dataclass, replace

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats

_MAX_EMPTY_PAGES = 20
"""Maximum empty pages to skip; a listing skips more."""


@dataclass(frozen=True, slots=True)
class RequestedPage:
    """A request and its page."""

    request: PageRequest
    page: Page

    @property
    def keys(self) -> list[str]:
        keys: list[str] = self.page.objects.column("key").to_pylist()
        return keys


async def first_page(lister: PageSource, request: PageRequest, stats: RequestStats) -> Page:
    """The first non-empty page, as some stores send empty pages before it; else the last page.

    Raises:
        S3Error: A request failed permanently.
    """
    return (await pages_until_names(lister, request, stats))[-1].page


async def pages_until_names(
    lister: PageSource, request: PageRequest, stats: RequestStats
) -> list[RequestedPage]:
    """`first_page` and the empty pages before it, each with its request."""
    found = [RequestedPage(request, await lister.list_page(request, stats))]
    for _ in range(_MAX_EMPTY_PAGES):
        page = found[-1].page
        is_empty = not page.objects.num_rows and not page.common_prefixes
        if not is_empty or not page.is_truncated or page.next_token is None:
            break
        request = replace(request, start_after="", token=page.next_token)
        found.append(RequestedPage(request, await lister.list_page(request, stats)))
    return found
