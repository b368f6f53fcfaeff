"""List one key range again, in order, to compare it with what was listed before.

No continuation token is needed: each request begins after the last key that was seen, so that a
store whose tokens skip keys, or end too early, is seen to do so. Nothing that a store says about
the end is believed unasked: behind the last key it is asked once more.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.s3.decoding.xml_decoder import (
    OBJECT_SCHEMA,
    VERSION_SCHEMA,
    Page,
    versions_token,
)
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.scan.errors import ListingStuck
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.sorted_keys import count_up_to
from inventory_assets.scan.store_probe import page_with_names
from inventory_assets.scan.validation.object_versions import Versions, split_last_key
from inventory_assets.scan.validation.page_validation import MAX_EMPTY_PAGES, check_keys

PAGES_WITH_KEYS = 4
"""Pages with keys of the range at most, however many were added to it since."""


@dataclass(frozen=True, slots=True)
class ListedRows:
    """What a range holds now.

    Attributes:
        key_range: The part of the range that was listed: from its start, as a rule to its end.
        objects: All objects in it, with `OBJECT_SCHEMA`; or with `VERSION_SCHEMA`, as a listing of
            the same versions has them.
        reached: The last key that the store showed, which as a rule lies beyond the range; where
            it showed none, where the listing began.
        ended_early: The key behind which the store said that the listing ends, though more keys
            followed when it was asked again; None as a rule.
    """

    key_range: KeyRange
    objects: pa.Table
    reached: str
    ended_early: str | None = None


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Where a request begins: after a key, or where a token says.

    Attributes:
        key: After this key; "" for the first.
        version_id: After this version of it; None for after all of them.
        token: A token of the store's own, after a page that shows no key.
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
        """The rows that come after this place; some stores show the place itself once more."""
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
    lister: ListClient,
    prefix: str,
    key_range: KeyRange,
    stats: RequestStats,
    versions: Versions | None = None,
) -> ListedRows:
    """List a range again, one page after the other, on a store that lists in byte order.

    A store may show the key that a request begins after once more. Every StartAfter begins with
    the prefix: a range that begins before the prefix is asked for without one.

    Args:
        lister: The bucket.
        prefix: What all keys of the range start with.
        key_range: The range.
        stats: Where requests and faults are counted.
        versions: Which versions are wanted; None for the current objects.

    Raises:
        KeysOutOfOrder: The store lists in no order, or not in byte order.
        KeyOutsideRequest: The store lists keys that do not start with the prefix.
        ListingStuck: A token is repeated, or empty pages do not end.
        S3Error: A request failed for good.
    """
    where = lister.connection.display_name
    schema = VERSION_SCHEMA if versions else OBJECT_SCHEMA
    found: list[pa.RecordBatch] = []
    held = pa.RecordBatch.from_pylist([], schema)
    place = _Cursor(_start_after(prefix, key_range))
    last_key, said_end, ended_early, empty_pages = place.key, False, None, 0
    while True:
        request = place.request(prefix, versions=versions is not None)
        page = page_with_names(lister, request, stats)
        rows = place.new_rows(page.objects)
        objects = pa.concat_batches([held, rows])
        check_keys(objects, prefix, last_key, where)
        if said_end and rows.num_rows:
            ended_early = ended_early or place.key
        reached = objects.column("key")[-1].as_py() if objects.num_rows else last_key
        # The last key of a range may have more versions on the next page.
        is_past = reached > key_range.until if versions else reached >= key_range.until
        following = _following(place, page, rows, versions)
        is_end = is_past or following is None
        if versions:
            objects, held = split_last_key(objects, goes_on=not is_end)
        keys = objects.column("key")
        last_key = keys[-1].as_py() if len(keys) else last_key
        # A shortened StartAfter may let keys of the range on the left through.
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
        if following == place or empty_pages > MAX_EMPTY_PAGES:
            raise ListingStuck(f"{where}: the listing after {last_key!r} does not go on")
        said_end = not page.is_truncated
        place = following
    objects = pa.Table.from_batches(found, schema=schema)
    return ListedRows(KeyRange(key_range.after, until), objects, reached, ended_early)


def _start_after(prefix: str, key_range: KeyRange) -> str:
    """Where the first request begins; some stores take no StartAfter that lacks the prefix."""
    for start_after in (key_range.start_after, key_range.after):
        if start_after.startswith(prefix):
            return start_after
    return ""


def _following(
    place: _Cursor, page: Page, rows: pa.RecordBatch, versions: Versions | None
) -> _Cursor | None:
    """Where the next request begins; None where the store has shown that nothing follows.

    That is shown by an answer without keys to a request behind a key.
    """
    if rows.num_rows:
        key = rows.column("key")[-1].as_py()
        if versions and page.is_truncated:
            return _Cursor(key, rows.column("version_id")[-1].as_py())
        return _Cursor(key)
    if page.is_truncated:
        # Deleted keys still being skipped: here the store's own token is all there is.
        return _Cursor(place.key, place.version_id, page.next_token)
    # Some stores know no marker of a version and then answer that nothing follows.
    return None if place.version_id is None else _Cursor(place.key)
