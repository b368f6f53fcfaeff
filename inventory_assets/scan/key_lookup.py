"""Look up keys by prefix.

Unlike a range, a prefix needs neither StartAfter nor a key order, so this works on every store, and
it reveals keys that are missing in a store's listing of a range.
"""

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.page import MAX_KEYS, OBJECT_SCHEMA, VERSION_SCHEMA
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.key_density import common_start
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder
from inventory_assets.scan.keyspace.key_range import DELIMITER
from inventory_assets.scan.range_listing import PAGES_WITH_KEYS
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.page_validation import check_empty_pages, following_token

KEYS_BEFORE_AN_EXACT_ONE = 10
"""Keys to request when looking up a single one, which all known orders list first."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects under a prefix.

    Attributes:
        objects: The objects in the store's order, with `OBJECT_SCHEMA` or `VERSION_SCHEMA`.
        is_whole: Whether the listing reached its end, not only the maximum number of pages.
    """

    objects: pa.Table
    is_whole: bool


def list_prefix(
    lister: PageSource, prefix: str, stats: RequestStats, versions: Versions | None = None
) -> Listed:
    """List the keys under a prefix, up to `PAGES_WITH_KEYS` non-empty pages.

    Args:
        lister: The bucket.
        prefix: The prefix.
        stats: Counts requests and transient errors.
        versions: Which versions to list; None for current objects.

    Raises:
        KeyOutsideRequest: The store lists keys that do not start with the prefix.
        KeysOutOfOrder: The store lists a key twice.
        ListingStuck: A token is repeated, or empty pages do not end.
        S3Error: A request failed permanently.
    """
    listed = _list(lister, PageRequest(prefix, versions=versions is not None), stats)
    if versions:
        # `as_of_view` needs all versions of a key in one batch.
        table = listed.objects.combine_chunks()
        found = [versions.as_of_view(batch) for batch in table.to_batches()]
        return Listed(pa.Table.from_batches(found, VERSION_SCHEMA), listed.is_whole)
    return listed


def look_up(
    lister: PageSource, key: str, stats: RequestStats, versions: Versions | None = None
) -> pa.Table:
    """The object with exactly this key, or its versions; an empty table if there is none.

    Arguments and errors are as for `list_prefix`.
    """
    # A key may have many versions, but only one current object.
    size = MAX_KEYS if versions else KEYS_BEFORE_AN_EXACT_ONE
    pages = PAGES_WITH_KEYS if versions else 1
    request = PageRequest(key, max_keys=size, versions=versions is not None)
    objects = _list(lister, request, stats, pages).objects
    return objects.filter(pc.equal(objects.column("key"), key))


def find_misplaced_key(
    lister: PageSource, key: str, other: str, stats: RequestStats, versions: Versions | None = None
) -> str | None:
    """A greater key that the store lists before `key`, or None.

    Such a key shows that the store does not list in byte order. The result is None as well if the
    store's listing lacks `key`.

    Args:
        lister: The bucket.
        key: A key that exists.
        other: A greater key; the common prefix of both is listed.
        stats: Counts requests and transient errors.
        versions: Which versions to list; None for current objects.
    """
    request = PageRequest(common_start(key, other), versions=versions is not None)
    listed = _list(lister, request, stats)
    keys: list[str] = listed.objects.column("key").to_pylist()
    if key in keys:
        before = keys[: keys.index(key)]
    elif listed.is_whole:
        return None
    else:
        # `key` may be on a later page: in directory order, a large folder may precede it.
        names = key.split(DELIMITER)
        before = [each for each in keys if each.split(DELIMITER) < names]
    return next((each for each in before if each > key), None)


def list_level(
    lister: PageSource, prefix: str, stats: RequestStats, max_keys: int = MAX_KEYS
) -> tuple[list[str], list[str]]:
    """The keys and folders directly under a prefix, from the first page.

    Keys that end in "/" and have no ETag are left out: some stores list folders as such keys.

    Raises:
        S3Error: A request failed permanently.
    """
    page = lister.list_page_sync(PageRequest(prefix, delimiter=DELIMITER, max_keys=max_keys), stats)
    objects = page.objects.select(["key", "e_tag"]).to_pylist()
    keys = [
        row["key"]
        for row in objects
        if row["e_tag"] is not None or not row["key"].endswith(DELIMITER)
    ]
    return keys, list(page.common_prefixes)


def _list(
    lister: PageSource, request: PageRequest, stats: RequestStats, pages: int = PAGES_WITH_KEYS
) -> Listed:
    display_name, prefix = lister.bucket_config.display_name, request.prefix
    schema = VERSION_SCHEMA if request.versions else OBJECT_SCHEMA
    found: list[pa.RecordBatch] = []
    empty_pages, is_whole = 0, False
    seen = set[tuple[str, str | None]]()
    while len(found) < pages:
        page = lister.list_page_sync(request, stats)
        keys = page.objects.column("key").to_pylist()
        for key in keys:
            if not key.startswith(prefix):
                raise KeyOutsideRequest(
                    f"{display_name}: the store lists {key!r} when asked for prefix {prefix!r}"
                )
        ids = page.objects.column("version_id").to_pylist() if request.versions else keys
        rows = list(zip(keys, ids, strict=True))
        if len({*rows} | seen) < len(rows) + len(seen):
            raise KeysOutOfOrder(f"{display_name}: the store lists a key under {prefix!r} twice")
        seen |= set(rows)
        if rows:
            found.append(page.objects)
        if not page.is_truncated:
            is_whole = True
            break
        if page.next_token is None:
            break
        empty_pages = 0 if rows else empty_pages + 1
        check_empty_pages(empty_pages, display_name)
        request = replace(request, token=following_token(page.next_token, request, display_name))
    return Listed(pa.Table.from_batches(found, schema=schema), is_whole)
