"""Check what came against what was asked for, before any of it is believed."""

from collections.abc import Sequence

import pyarrow as pa

from inventory_assets.s3.blocks import Scratch
from inventory_assets.s3.columns import decode_pages
from inventory_assets.s3.documents import Body
from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.pages import VERSION_SCHEMA, Page
from inventory_assets.s3.received import Received
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder
from inventory_assets.scan.evidence import keys_ascend
from inventory_assets.scan.ranges import ceiling
from inventory_assets.scan.versions import order_fault

MAX_EMPTY_PAGES = 1000
"""Empty pages in a row that are taken for deleted keys still being skipped, and no loop."""


def decoded_pages(bodies: Sequence[Body], scratch: Scratch) -> list[Page | MalformedResponse]:
    """The pages, and errors in the place of those that are damaged."""
    try:
        found = decode_pages(bodies, scratch)
    except MalformedResponse as error:
        if len(bodies) == 1:
            return [error]
        return [page for body in bodies for page in decoded_pages([body], scratch)]
    return [
        page if isinstance(page, Page) else MalformedResponse(f"expected a page, found {page.code}")
        for page in found
    ]


def agree(page: Page, received: Received) -> bool:
    """Whether the page is what its receiver took it for."""
    return (
        page.is_truncated == received.is_truncated
        and page.next_token == received.next_token
        and page.last_key == received.last_key
    )


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
    if first < prefix or last > ceiling(prefix):
        raise KeyOutsideRequest(
            f"{where}: the store lists {first!r} to {last!r} when asked for prefix {prefix!r}"
        )
