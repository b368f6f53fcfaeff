"""List one key range again, sequentially, to compare it with an earlier listing.

Each request starts after the last key seen and uses no continuation token, which reveals stores
whose tokens skip keys or whose listings end too early. The end is confirmed by a request after the
last key.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.page import OBJECT_SCHEMA, VERSION_SCHEMA, Page, versions_token
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.key_encoding import page_with_names
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.validation.object_versions import OpenKey, Versions, split_last_key
from inventory_assets.scan.validation.page_validation import (
    check_empty_pages,
    check_following,
    following_token,
)

PAGES_WITH_KEYS = 4
"""Maximum non-empty pages, however many keys were added since."""


@dataclass(frozen=True, slots=True)
class ListedRows:
    """The current content of a range.

    Attributes:
        key_range: The part of the range that was listed: from its start, usually to its end.
        objects: All objects in `key_range`, with `OBJECT_SCHEMA` or `VERSION_SCHEMA`.
        reached: The last key that the store listed, usually beyond the range; without any, the
            first StartAfter.
        ended_early: The key after which the store ended the listing although more keys follow;
            usually None.
    """

    key_range: KeyRange
    objects: pa.Table
    reached: str
    ended_early: str | None = None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The position after which a request starts: a key, a version or a token.

    Attributes:
        key: Start after this key; "" for the first request.
        version_id: Start after this version of the key; None for after all its versions.
        token: The store's token, used after a page without keys.
    """

    key: str
    version_id: str | None = None
    token: str | None = None

    def request(self, prefix: str, *, versions: bool) -> PageRequest:
        token = self.token
        if token is None and self.version_id is not None:
            token = versions_token(self.key, self.version_id)
        return PageRequest(prefix, "" if token else self.key, token, versions=versions)

    def new_rows(self, objects: pa.RecordBatch) -> pa.RecordBatch:
        """The rows after this position; some stores list the position itself again."""
        keys = objects.column("key")
        if self.token is not None or not self.key or not len(keys) or keys[0].as_py() != self.key:
            return objects
        if self.version_id is None:
            others = pc.index(pc.equal(keys, self.key), value=False).as_py()
            return objects.slice(others if others >= 0 else len(keys))
        repeated = pc.and_(
            pc.equal(keys, self.key), pc.equal(objects.column("version_id"), self.version_id)
        )
        return objects.slice(pc.index(repeated, value=True).as_py() + 1)


def list_range(
    lister: PageSource,
    prefix: str,
    key_range: KeyRange,
    stats: RequestStats,
    versions: Versions | None = None,
) -> ListedRows:
    """List a range again, page by page, on a store that lists in byte order.

    The store may list the key of StartAfter again. Every StartAfter starts with the prefix; a range
    that starts before the prefix is requested without StartAfter.

    Args:
        lister: The bucket.
        prefix: The common prefix of all keys of the range.
        key_range: The range.
        stats: Counts requests and transient errors.
        versions: Which versions to list; None for current objects.

    Raises:
        KeysOutOfOrder: The store does not list in byte order.
        KeyOutsideRequest: The store lists keys that do not start with the prefix.
        ListingStuck: A token is repeated, or empty pages do not end.
        S3Error: A request failed permanently.
    """
    display_name = lister.bucket_config.display_name
    schema = VERSION_SCHEMA if versions else OBJECT_SCHEMA
    found: list[pa.RecordBatch] = []
    open_key: OpenKey | None = None
    cursor = _Cursor(_start_after(prefix, key_range))
    last_key, said_end, ended_early, empty_pages = cursor.key, False, None, 0
    while True:
        request = cursor.request(prefix, versions=versions is not None)
        page = page_with_names(lister, request, stats)
        objects = rows = cursor.new_rows(page.objects)
        _, reached = check_following(
            open_key, rows, prefix, last_key, display_name, has_more=page.is_truncated
        )
        reached = last_key if reached is None else reached
        if said_end and rows.num_rows:
            ended_early = ended_early or cursor.key
        # More versions of the last key may follow on the next page.
        is_past = reached > key_range.until if versions else reached >= key_range.until
        following = _following(cursor, page, rows, versions, request, display_name)
        is_end = is_past or following is None
        if versions:
            objects, open_key = split_last_key(open_key, rows, has_more=not is_end)
        keys = objects.column("key")
        last_key = keys[-1].as_py() if len(keys) else last_key
        # A shortened StartAfter may include keys before the range.
        before, inside = (count_up_to(keys, bound) for bound in (key_range.after, key_range.until))
        if inside > before:
            objects = objects.slice(before, inside - before)
            found.append(versions.as_of_view(objects) if versions else objects)
        if is_past or following is None:
            until = key_range.until
            break
        if len(found) == PAGES_WITH_KEYS:
            until = last_key
            break
        empty_pages = 0 if rows.num_rows else empty_pages + 1
        check_empty_pages(empty_pages, display_name)
        said_end = not page.is_truncated
        cursor = following
    objects = pa.Table.from_batches(found, schema=schema)
    return ListedRows(KeyRange(key_range.after, until), objects, reached, ended_early)


def _start_after(prefix: str, key_range: KeyRange) -> str:
    """The first StartAfter; some stores reject one that does not start with the prefix."""
    for start_after in (key_range.start_after, key_range.after):
        if start_after.startswith(prefix):
            return start_after
    return ""


def _following(
    cursor: _Cursor,
    page: Page,
    rows: pa.RecordBatch,
    versions: Versions | None,
    request: PageRequest,
    display_name: str,
) -> _Cursor | None:
    """The position of the request after `request`, which was at `cursor`; None after the end.

    An empty response to a request after the last key confirms the end.

    Raises:
        ListingStuck: The store skips deleted keys, and no token leads on.
    """
    if rows.num_rows:
        key = rows.column("key")[-1].as_py()
        if versions and page.is_truncated:
            return _Cursor(key, rows.column("version_id")[-1].as_py())
        return _Cursor(key)
    if page.is_truncated:
        # The store still skips deleted keys: continue with its token.
        token = following_token(page.next_token, request, display_name)
        return _Cursor(cursor.key, cursor.version_id, token)
    # Some stores ignore version markers and then send an empty page: start after the key.
    return None if cursor.version_id is None else _Cursor(cursor.key)
