"""Check what came against what was asked for, before any of it is believed."""

from collections.abc import Iterable, Sequence

import pyarrow as pa

from inventory_assets.s3.decoding.columnar_decoder import decode_pages
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.tag_scanner import DecodeBuffers
from inventory_assets.s3.decoding.xml_decoder import VERSION_SCHEMA, Page, versions_markers
from inventory_assets.s3.decoding.xml_tree import Body
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import Continuation, KeyEncoding, StoreProfile
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.keyspace.key_range import MAX_KEY_BYTES, KeyRange, prefix_upper_bound
from inventory_assets.scan.keyspace.sorted_keys import count_up_to, keys_ascend
from inventory_assets.scan.validation.object_versions import order_fault

MAX_EMPTY_PAGES = 1000
"""Empty pages in a row that are taken for deleted keys still being skipped, and no loop."""


def decoded_pages(
    bodies: Sequence[Body], buffers: DecodeBuffers, encoding: KeyEncoding
) -> list[Page | MalformedResponse]:
    """The pages, and errors in the place of those that are damaged."""
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


def matches_header(page: Page, received: RawPage) -> bool:
    """Whether the page is what its receiver took it for."""
    return (
        page.is_truncated == received.is_truncated
        and page.next_token == received.next_token
        and page.last_key == received.last_key
    )


def next_place(
    request: PageRequest, received: RawPage, profile: StoreProfile, where: str
) -> tuple[str | None, str]:
    """Where a listing goes on after a page that is not its last: a token, or a StartAfter.

    Raises:
        ListingStuck: The store repeats a token, or names no place to go on from.
    """
    token = received.next_token
    is_by_token = request.versions or profile.continuation is Continuation.TOKEN
    if token and (is_by_token or received.last_key is None):
        if token == request.token:
            raise ListingStuck(f"{where}: the store repeats the continuation token {token!r}")
        return token, ""
    if received.last_key is None:
        raise ListingStuck(
            f"{where}: a page without keys says neither that it is the last nor "
            "where the listing goes on"
        )
    return None, received.last_key


def without_repeated(
    objects: pa.RecordBatch, request: PageRequest | None, after: str
) -> pa.RecordBatch:
    """Without what a page was asked to begin after, as some stores list that as well.

    Args:
        objects: Of the page.
        request: What it answers.
        after: The last key before the page.
    """
    if request is None or not objects.num_rows:
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
    page: Page, key_range: KeyRange, after: str, page_starts: Iterable[str]
) -> bool:
    """Whether a page that does not fit may be the answer to another request.

    It is none where it shows keys that a range has passed over: then the store keeps another order.

    Args:
        page: The page.
        key_range: The range that it came for.
        after: The last key that was listed of it.
        page_starts: The first keys of its last pages.
    """
    keys = page.objects.column("key")
    if not len(keys) or (page.objects.schema != VERSION_SCHEMA and not keys_ascend(keys)):
        return not len(keys)
    passed = count_up_to(keys, after) - count_up_to(keys, key_range.after)
    return passed <= 0 or keys[0].as_py() in page_starts


def check_keys(objects: pa.RecordBatch, prefix: str, after: str, where: str) -> None:
    """Check that the keys of listed objects ascend, come after `after`, and start with `prefix`.

    Raises:
        KeysOutOfOrder: They do not ascend, or go back; or versions are in no order.
        KeyOutsideRequest: One does not start with the prefix.
    """
    keys = objects.column("key")
    if not len(keys):
        return
    first, last = keys[0].as_py(), keys[-1].as_py()
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
