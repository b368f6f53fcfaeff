"""List one key range again, in order, to compare it with what was listed before."""

from dataclasses import dataclass

import pyarrow as pa

from inventory_assets.s3.listing import BucketLister, PageRequest, Tally
from inventory_assets.s3.pages import OBJECT_SCHEMA, VERSION_SCHEMA
from inventory_assets.scan.checking import MAX_EMPTY_PAGES, check_keys
from inventory_assets.scan.errors import ListingStuck
from inventory_assets.scan.evidence import count_up_to
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.versions import Versions, whole_keys

PAGES_WITH_KEYS = 4
"""Pages with keys of the range at most, however many were added to it since."""


@dataclass(frozen=True, slots=True)
class Relisted:
    """What a range holds now.

    Attributes:
        key_range: The part of the range that was listed: from its start, as a rule to its end.
        objects: All objects in it, with `OBJECT_SCHEMA`; or with `VERSION_SCHEMA`, as a listing of
            the same versions has them.
    """

    key_range: KeyRange
    objects: pa.Table


def relist(
    lister: BucketLister,
    prefix: str,
    key_range: KeyRange,
    tally: Tally,
    versions: Versions | None = None,
) -> Relisted:
    """List a range again, one page after the other, on a store that lists in byte order.

    Args:
        lister: The bucket.
        prefix: What all keys of the range start with.
        key_range: The range.
        tally: Where requests and faults are counted.
        versions: Which versions are wanted; None for the current objects.

    Raises:
        KeysOutOfOrder: The store lists in no order, or not in byte order.
        KeyOutsideRequest: The store lists keys that do not start with the prefix.
        ListingStuck: A token is repeated, or empty pages do not end.
        S3Error: A request failed for good.
    """
    where = lister.connection.where
    schema = VERSION_SCHEMA if versions else OBJECT_SCHEMA
    found: list[pa.RecordBatch] = []
    held = pa.RecordBatch.from_pylist([], schema)
    last_key, token, empty_pages = key_range.start_after, None, 0
    while True:
        start_after = "" if token else last_key
        page = lister.page(
            PageRequest(prefix, start_after, token, versions=versions is not None), tally
        )
        objects = pa.concat_batches([held, page.objects])
        check_keys(objects, prefix, last_key, where)
        reached = page.last_key or last_key
        # The last key of a range may have more versions on the next page.
        is_past = reached > key_range.until if versions else reached >= key_range.until
        is_end = is_past or not page.is_truncated
        if versions:
            objects, held = whole_keys(objects, goes_on=not is_end)
        keys = objects.column("key")
        last_key = keys[-1].as_py() if len(keys) else last_key
        # A shortened StartAfter may let keys of the range on the left through.
        before, inside = (count_up_to(keys, bound) for bound in (key_range.after, key_range.until))
        if inside > before:
            objects = objects.slice(before, inside - before)
            found.append(versions.state(objects) if versions else objects)
        if is_end:
            until = key_range.until
            break
        if len(found) == PAGES_WITH_KEYS:
            until = last_key
            break
        empty_pages = 0 if page.objects.num_rows else empty_pages + 1
        if page.next_token == token or empty_pages > MAX_EMPTY_PAGES:
            raise ListingStuck(f"{where}: the listing after {last_key!r} does not go on")
        token = page.next_token
    return Relisted(KeyRange(key_range.after, until), pa.Table.from_batches(found, schema=schema))
