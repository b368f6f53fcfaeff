"""Compare pages with their requests before their content is used.

`validate_page` applies all checks of a single page in a parallel scan. Its caller does those that
need requests (the encoding of names) or several pages (consecutive empty pages, records that cannot
be decoded).
"""

from collections.abc import Collection, Sequence

import pyarrow as pa

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.columnar_decoder import decode_pages
from inventory_assets.s3.decoding.page import VERSION_SCHEMA, Page, versions_markers
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
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
from inventory_assets.scan.validation.object_versions import OpenKey, order_violation

MAX_EMPTY_PAGES = 1000
"""Maximum consecutive empty pages while a store skips deleted keys; more count as a loop."""


class MisplacedPage(Exception):
    """A page does not match its request, but may be the response to another one, sent by a proxy.

    Attributes:
        error: The error if the page is the response to this request.
    """

    def __init__(self, error: ScanError) -> None:
        super().__init__(str(error))
        self.error = error


@value
class PageContext:
    """The request of a page, and the state of its range before the page.

    Attributes:
        request: The request.
        raw_page: The values that the byte search found in the response.
        key_range: The range that is listed.
        after: The last key read in the range; "" before the first.
        page_starts: The first keys of the range's latest pages.
        open_key: Versions of the last key that belong before the page; None if there are none.
    """

    request: PageRequest
    raw_page: RawPage
    key_range: KeyRange
    after: str
    page_starts: Collection[str]
    open_key: OpenKey | None


@value
class ValidPage:
    """A page that has passed every check.

    Attributes:
        page: The page.
        objects: The page's objects, without keys that were read before.
        first_key: The first key of these objects and of the versions before them, or None.
        last_key: The last key of these, or None.
        repeats_start: Whether the page began with the key of the request's StartAfter.
    """

    page: Page
    objects: pa.RecordBatch
    first_key: str | None
    last_key: str | None
    repeats_start: bool


def validate_page(
    page: Page | MalformedResponse, context: PageContext, profile: StoreProfile, display_name: str
) -> ValidPage:
    """Compare a page with its request, the byte search, and the keys read before it.

    Args:
        page: From `decoded_pages`.
        context: Its request, and the state of its range.
        profile: How the store lists.
        display_name: The bucket, for messages.

    Raises:
        MalformedResponse: The page is damaged.
        MisplacedPage: It may be the response to another request.
        KeysOutOfOrder: Keys do not ascend, or are not after `context.after`; or versions are not in
            the order of a listing.
        KeyOutsideRequest: A key does not start with the prefix.
    """
    if isinstance(page, MalformedResponse):
        raise page
    if not matches_header(page, context.raw_page):
        raise MalformedResponse("the byte search and the decoder disagree on the response")
    if page.common_prefixes:
        raise MalformedResponse("the page has common prefixes, which were not requested")
    objects = without_repeated(page.objects, context.request, context.after)
    repeats_start = objects.num_rows < page.objects.num_rows
    if profile.start_after is StartAfter.IGNORED:
        # A request cannot start after a key there, so a restarted listing repeats earlier keys.
        objects = objects.slice(count_up_to(objects.column("key"), context.after))
    try:
        first, last = check_following(
            context.open_key,
            objects,
            context.request.prefix,
            context.after,
            display_name,
            has_more=page.is_truncated,
        )
        if page.unreadable and not context.request.versions:
            is_ignored = profile.start_after is StartAfter.IGNORED
            check_unreadable(page, "" if is_ignored else context.after, display_name)
    except (KeysOutOfOrder, KeyOutsideRequest) as error:
        if belongs_elsewhere(page, context.key_range, context.after, context.page_starts):
            raise MisplacedPage(error) from error
        raise
    return ValidPage(page, objects, first, last, repeats_start)


def decoded_pages(
    bodies: Sequence[Body], buffers: DecodeBuffers, encoding: KeyEncoding
) -> list[Page | MalformedResponse]:
    """Decode pages; a damaged page is returned as its error."""
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
    """Whether the byte search and the decoder found the same values in a response."""
    return (
        page.is_truncated == raw_page.is_truncated
        and page.next_token == raw_page.next_token
        and page.last_key == raw_page.last_key
    )


def next_position(
    request: PageRequest, raw_page: RawPage, profile: StoreProfile, display_name: str
) -> tuple[str | None, str]:
    """The token and StartAfter of the next request, after a page that is not the last.

    Returns:
        A token and "", or None and a key.

    Raises:
        ListingStuck: The store repeats a token, or the page has neither a token nor a key.
    """
    token = raw_page.next_token
    is_by_token = request.versions or profile.continuation is Continuation.TOKEN
    if token and (is_by_token or raw_page.last_key is None):
        return following_token(token, request, display_name), ""
    if raw_page.last_key is None:
        return following_token(None, request, display_name), ""
    return None, raw_page.last_key


def following_token(token: str | None, request: PageRequest, display_name: str) -> str:
    """The token with which a listing goes on, where nothing but a token leads to the next page.

    Args:
        token: That of a page that is not the last.
        request: The request that the page answers.
        display_name: The bucket, for messages.

    Raises:
        ListingStuck: There is none, or the request had the same.
    """
    if token is None:
        raise ListingStuck(
            f"{display_name}: a page of {request.prefix!r} says that more pages follow, but has no "
            "token to request them"
        )
    if token == request.token:
        raise ListingStuck(f"{display_name}: the store repeats the continuation token {token!r}")
    return token


def check_empty_pages(count: int, display_name: str) -> None:
    """Limit consecutive empty pages.

    Raises:
        ListingStuck: `count` exceeds `MAX_EMPTY_PAGES`.
    """
    if count > MAX_EMPTY_PAGES:
        raise ListingStuck(f"{display_name}: the store sent {count} empty pages in a row")


def without_repeated(objects: pa.RecordBatch, request: PageRequest, after: str) -> pa.RecordBatch:
    """Drop the key or version of the request's StartAfter or marker, which some stores list again.

    Args:
        objects: The objects of the page.
        request: The request of the page.
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
    """Whether a page that does not match its request may be the response to another one.

    A page with keys of the range that belong before `after` is not: it shows that the store lists
    in another order.

    Args:
        page: The page.
        key_range: The range that was requested.
        after: The last key read in that range.
        page_starts: The first keys of its latest pages.
    """
    keys = page.objects.column("key")
    if not len(keys) or (page.objects.schema != VERSION_SCHEMA and not keys_ascend(keys)):
        return not len(keys)
    passed = count_up_to(keys, after) - count_up_to(keys, key_range.after)
    return passed <= 0 or keys[0].as_py() in page_starts


def check_following(
    open_key: OpenKey | None,
    objects: pa.RecordBatch,
    prefix: str,
    after: str,
    display_name: str,
    *,
    has_more: bool,
) -> tuple[str, str] | tuple[None, None]:
    """`check_keys` of objects that follow versions of a key of which they may have more."""
    if open_key is None:
        return check_keys(objects, prefix, after, display_name)
    found = check_keys(open_key.before(objects), prefix, after, display_name)
    if open_key.is_repeated(objects, has_more=has_more):
        raise KeysOutOfOrder(f"{display_name}: the store lists a version of {open_key.key!r} twice")
    return found


def check_keys(
    objects: pa.RecordBatch, prefix: str, after: str, display_name: str
) -> tuple[str, str] | tuple[None, None]:
    """Check that the keys of listed objects ascend, come after `after`, and start with `prefix`.

    Returns:
        The first and the last key; None and None without objects.

    Raises:
        KeysOutOfOrder: They do not ascend, or are not after `after`; or versions are not in the
            order of a listing.
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
            f"{display_name}: the store lists a key of {len(longest.encode()):,} bytes, which "
            f"begins with {longest[:40]!r}; S3 allows {MAX_KEY_BYTES:,}, and no range can "
            "contain it: rename it"
        )
    if objects.schema == VERSION_SCHEMA:
        if violation := order_violation(objects):
            raise KeysOutOfOrder(
                f"{display_name}: the store lists versions between {first!r} and {last!r} "
                f"{violation}, so their order is unknown; list current objects instead"
            )
    elif not keys_ascend(keys):
        raise KeysOutOfOrder(
            f"{display_name}: the store lists keys between {first!r} and {last!r} out of byte order"
        )
    if first <= after:
        raise KeysOutOfOrder(f"{display_name}: the store lists {first!r} after {after!r}")
    if first < prefix or is_beyond:
        raise KeyOutsideRequest(
            f"{display_name}: the store lists {first!r} to {last!r} when asked for "
            f"prefix {prefix!r}"
        )
    return first, last


def check_unreadable(page: Page, after: str, display_name: str) -> None:
    """Check that records that cannot be decoded are in order among the objects of their page.

    Args:
        page: A page of objects.
        after: The last key before the page.
        display_name: The bucket, for messages.

    Raises:
        KeysOutOfOrder: One is not.
    """
    keys = page.objects.column("key")
    for each in page.unreadable:
        before = keys[each.row - 1].as_py() if each.row else after
        behind = keys[each.row].as_py() if each.row < len(keys) else each.sort_key
        if each.sort_key and not before <= each.sort_key <= behind:
            raise KeysOutOfOrder(
                f"{display_name}: the store lists {each.sort_key!r} between {before!r} and "
                f"{behind!r}"
            )
