"""Check what a store sent against what it was asked for, before any of it is believed.

`validate_page` is the one check of a page in a parallel scan; it applies the others of this module.
What remains for its caller costs requests (whether names are read as the store means them), or
looks at several pages (empty pages in a row, records that cannot be decoded).
"""

from collections.abc import Collection, Sequence

import pyarrow as pa

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.columnar_decoder import decode_pages
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.decoding.xml_decoder import VERSION_SCHEMA, Page, versions_markers
from inventory_assets.s3.decoding.xml_tree import Body
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import (
    Continuation,
    KeyEncoding,
    StartAfter,
    StoreProfile,
)
from inventory_assets.scan.errors import (
    KeyOutsideRequest,
    KeysOutOfOrder,
    ListingStuck,
    ScanError,
)
from inventory_assets.scan.keyspace.key_range import MAX_KEY_BYTES, KeyRange, prefix_upper_bound
from inventory_assets.scan.keyspace.sorted_keys import count_up_to, keys_ascend
from inventory_assets.scan.validation.object_versions import order_fault

MAX_EMPTY_PAGES = 1000
"""Empty pages in a row that a store may send while it skips deleted keys; more are a loop."""


class MisplacedPage(Exception):
    """A page does not fit its request, but may be the answer to another one, as of a proxy.

    Attributes:
        error: What the store has violated if the page is no such answer.
    """

    def __init__(self, error: ScanError) -> None:
        super().__init__(str(error))
        self.error = error


@value
class PageContext:
    """What a page answers, and what was read of its range before it.

    Attributes:
        request: The request.
        raw_page: What byte search found in the response.
        key_range: The range that is listed.
        after: The last key read of it; "" before the first.
        page_starts: The first keys of its latest pages.
        pending_versions: Versions of its last key that belong before the page, if any; with
            `VERSION_SCHEMA`.
    """

    request: PageRequest
    raw_page: RawPage
    key_range: KeyRange
    after: str
    page_starts: Collection[str]
    pending_versions: pa.RecordBatch | None


@value
class ValidPage:
    """A page that has passed every check.

    Attributes:
        page: The page.
        objects: Its objects, after the pending versions, and without keys that were read before.
        first_key: The first key of these objects, or None.
        last_key: The last key of these objects, or None.
        repeats_start: Whether it began with the key that the request begins after.
    """

    page: Page
    objects: pa.RecordBatch
    first_key: str | None
    last_key: str | None
    repeats_start: bool


def validate_page(
    page: Page | MalformedResponse, context: PageContext, profile: StoreProfile, where: str
) -> ValidPage:
    """Check a page against its request, its own header, and what was read before it.

    Args:
        page: As `decoded_pages` returns it.
        context: What the page answers.
        profile: How the store lists.
        where: The bucket, for messages.

    Raises:
        MalformedResponse: The page is damaged.
        MisplacedPage: It may be the answer to another request.
        KeysOutOfOrder: Keys do not ascend, or go back; or versions are in no order.
        KeyOutsideRequest: A key does not start with the prefix.
    """
    if isinstance(page, MalformedResponse):
        raise page
    if not matches_header(page, context.raw_page):
        raise MalformedResponse("the ends of the response contradict it")
    if page.common_prefixes:
        raise MalformedResponse("the page holds common prefixes, which were not asked for")
    objects = without_repeated(page.objects, context.request, context.after)
    repeats_start = objects.num_rows < page.objects.num_rows
    if profile.start_after is StartAfter.IGNORED:
        # There nothing can be asked for behind a key, so a listing starts over before it.
        objects = objects.slice(count_up_to(objects.column("key"), context.after))
    if context.pending_versions is not None:
        objects = pa.concat_batches([context.pending_versions, objects])
    try:
        first, last = check_keys(objects, context.request.prefix, context.after, where)
    except (KeysOutOfOrder, KeyOutsideRequest) as error:
        if belongs_elsewhere(page, context.key_range, context.after, context.page_starts):
            raise MisplacedPage(error) from error
        raise
    return ValidPage(page, objects, first, last, repeats_start)


def decoded_pages(
    bodies: Sequence[Body], buffers: DecodeBuffers, encoding: KeyEncoding
) -> list[Page | MalformedResponse]:
    """Decode pages; in the place of a damaged one stands its error."""
    try:
        found = decode_pages(bodies, buffers, encoding)
    except MalformedResponse as error:
        if len(bodies) == 1:
            return [error]
        return [page for body in bodies for page in decoded_pages([body], buffers, encoding)]
    return [
        page if isinstance(page, Page) else MalformedResponse(f"expected a page, found {page.code}")
        for page in found
    ]


def matches_header(page: Page, raw_page: RawPage) -> bool:
    """Whether byte search found in a response what the decoder finds."""
    return (
        page.is_truncated == raw_page.is_truncated
        and page.next_token == raw_page.next_token
        and page.last_key == raw_page.last_key
    )


def next_place(
    request: PageRequest, raw_page: RawPage, profile: StoreProfile, where: str
) -> tuple[str | None, str]:
    """What the next request begins with, after a page that is not the last: a token or StartAfter.

    Raises:
        ListingStuck: The store repeats a token, or names no place to go on from.
    """
    token = raw_page.next_token
    is_by_token = request.versions or profile.continuation is Continuation.TOKEN
    if token and (is_by_token or raw_page.last_key is None):
        return following_token(token, request, where), ""
    if raw_page.last_key is None:
        return following_token(None, request, where), ""
    return None, raw_page.last_key


def following_token(token: str | None, request: PageRequest, where: str) -> str:
    """The token with which a listing goes on, where nothing but a token leads to the next page.

    Args:
        token: That of a page that is not the last.
        request: The request that the page answers.
        where: The bucket, for messages.

    Raises:
        ListingStuck: There is none, or the request had the same.
    """
    if token is None:
        raise ListingStuck(
            f"{where}: a page of {request.prefix!r} says neither that it is the last nor where the "
            "listing goes on"
        )
    if token == request.token:
        raise ListingStuck(f"{where}: the store repeats the continuation token {token!r}")
    return token


def check_empty_pages(count: int, where: str) -> None:
    """Check that a store does not send empty pages for ever.

    Raises:
        ListingStuck: `count` empty pages in a row are too many.
    """
    if count > MAX_EMPTY_PAGES:
        raise ListingStuck(f"{where}: the store sent {count} empty pages in a row")


def without_repeated(objects: pa.RecordBatch, request: PageRequest, after: str) -> pa.RecordBatch:
    """Drop the key, or the version, that a page was asked to begin after; some stores list it.

    Args:
        objects: The objects of the page.
        request: The request that the page answers.
        after: The last key before the page.
    """
    if not objects.num_rows:
        return objects
    keys = objects.column("key")
    if request.token and request.versions:
        key, version_id = versions_markers(request.token)
        is_repeated = keys[0].as_py() == key
        is_repeated = is_repeated and objects.column("version_id")[0].as_py() == version_id
        return objects.slice(1) if is_repeated else objects
    repeated = 0
    while after and repeated < len(keys) and keys[repeated].as_py() == after:
        repeated += 1
    return objects.slice(repeated) if repeated else objects


def belongs_elsewhere(
    page: Page, key_range: KeyRange, after: str, page_starts: Collection[str]
) -> bool:
    """Whether a page that does not fit its request may be the answer to another one.

    It is not if it shows keys of the range that must have come before: then the store lists in
    another order.

    Args:
        page: The page.
        key_range: The range that it came for.
        after: The last key read of that range.
        page_starts: The first keys of its latest pages.
    """
    keys = page.objects.column("key")
    if not len(keys) or (page.objects.schema != VERSION_SCHEMA and not keys_ascend(keys)):
        return not len(keys)
    passed = count_up_to(keys, after) - count_up_to(keys, key_range.after)
    return passed <= 0 or keys[0].as_py() in page_starts


def check_keys(
    objects: pa.RecordBatch, prefix: str, after: str, where: str
) -> tuple[str, str] | tuple[None, None]:
    """Check that the keys of listed objects ascend, come after `after`, and start with `prefix`.

    Returns:
        The first and the last key; None and None without objects.

    Raises:
        KeysOutOfOrder: They do not ascend, or go back; or versions are in no order.
        KeyOutsideRequest: One does not start with the prefix.
    """
    keys = objects.column("key")
    if not len(keys):
        return None, None
    first: str = keys[0].as_py()
    last: str = keys[-1].as_py()
    is_beyond = last > prefix_upper_bound(prefix)
    longest = max(first, last, key=lambda key: len(key.encode())) if is_beyond else last
    if is_beyond and len(longest.encode()) > MAX_KEY_BYTES:
        raise KeyOutsideRequest(
            f"{where}: the store lists a key of {len(longest.encode()):,} bytes, which begins with "
            f"{longest[:40]!r}; S3 allows {MAX_KEY_BYTES:,}, and no range can hold it: rename it"
        )
    if objects.schema == VERSION_SCHEMA:
        if fault := order_fault(objects):
            raise KeysOutOfOrder(
                f"{where}: the store lists versions between {first!r} and {last!r} {fault}, "
                "so its versions cannot be told in order; list its current objects instead"
            )
    elif not keys_ascend(keys):
        raise KeysOutOfOrder(
            f"{where}: the store lists keys between {first!r} and {last!r} out of byte order"
        )
    if first <= after:
        raise KeysOutOfOrder(f"{where}: the store lists {first!r} after {after!r}")
    if first < prefix or is_beyond:
        raise KeyOutsideRequest(
            f"{where}: the store lists {first!r} to {last!r} when asked for prefix {prefix!r}"
        )
    return first, last
