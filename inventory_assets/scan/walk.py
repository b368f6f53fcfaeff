"""Walk ranges of a store that lists in key order: page after page, every assumption checked.

A few requests run ahead of the reader (the next page of the open range, the first pages of the
ranges after it), never more than `LOOK_AHEAD`, so memory is bounded by that many pages.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa

from inventory_assets.s3 import BucketLister, Page, PageRequest, Tally
from inventory_assets.s3.pages import MAX_KEYS
from inventory_assets.scan.errors import KeyOutsideRequest, KeysOutOfOrder, ListingStuck
from inventory_assets.scan.evidence import Ending, EvidenceLog, count_up_to, keys_ascend
from inventory_assets.scan.ranges import KeyRange, ceiling

LOOK_AHEAD = 4
"""Pages that one walk may hold or have on their way beyond the page at hand."""

GAP_PROBE_KEYS = 10
"""Keys asked for first where a range ends within the prefix.

Most gaps between shards are empty, and one key beyond the gap is proof enough."""

MAX_EMPTY_PAGES = 1000
"""Empty pages in a row that are taken for deleted keys still being skipped, and no loop."""


class KeyOrderWalk:
    """The objects of `ranges`, in key order.

    Args:
        lister: The bucket.
        prefix: What all keys of the ranges start with.
        ranges: Disjoint and in key order.
        tally: Where requests and faults are counted.
        evidence: Where the proof is written.
    """

    def __init__(
        self,
        lister: BucketLister,
        prefix: str,
        ranges: Sequence[KeyRange],
        tally: Tally,
        evidence: EvidenceLog,
    ) -> None:
        self._lister = lister
        self._prefix = prefix
        self._ranges = ranges
        self._tally = tally
        self._evidence = evidence

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield batches with `OBJECT_SCHEMA`, none empty.

        Raises:
            KeysOutOfOrder: A page does not ascend, or goes back behind the page before it.
            KeyOutsideRequest: A key lies outside the range or the prefix asked for.
            ListingStuck: A token is repeated, or empty pages do not end.
            S3Error: A request failed for good.
        """
        waiting = deque(self._ranges)
        opened: deque[tuple[KeyRange, Future[Page]]] = deque()
        with ThreadPoolExecutor(LOOK_AHEAD, thread_name_prefix="list") as pool:
            try:
                while waiting or opened:
                    while waiting and len(opened) < LOOK_AHEAD:
                        key_range = waiting.popleft()
                        opened.append((key_range, self._fetch(pool, key_range, None)))
                    key_range, first = opened.popleft()
                    yield from self._range(pool, key_range, first)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _start_after(self, key_range: KeyRange) -> str:
        # Before the prefix there is nothing to start after.
        return key_range.start_after if key_range.after >= self._prefix else ""

    def _fetch(
        self, pool: ThreadPoolExecutor, key_range: KeyRange, token: str | None
    ) -> Future[Page]:
        is_probe = token is None and key_range.until != ceiling(self._prefix)
        request = PageRequest(
            self._prefix,
            start_after=self._start_after(key_range),
            token=token,
            max_keys=GAP_PROBE_KEYS if is_probe else MAX_KEYS,
        )
        return pool.submit(self._lister.page, request, self._tally)

    def _range(
        self, pool: ThreadPoolExecutor, key_range: KeyRange, fetched: Future[Page]
    ) -> Iterator[pa.RecordBatch]:
        empty_pages = 0
        last_key = self._start_after(key_range)
        token: str | None = None
        while True:
            page = fetched.result()
            self._evidence.page()
            self._check_keys(page, last_key)
            keys = page.objects.column("key")
            inside = count_up_to(keys, key_range.until)
            # A shortened StartAfter may let keys of the range on the left through.
            before = count_up_to(keys, key_range.after)
            bound_reached = inside < len(keys)
            going_on = page.is_truncated and not bound_reached
            if going_on:
                if page.next_token == token:
                    raise ListingStuck(self._say(f"repeats the continuation token {token!r}"))
                token = page.next_token
                fetched = self._fetch(pool, key_range, token)
            if inside > before:
                objects = page.objects.slice(before, inside - before)
                self._evidence.rows(objects.column("key"))
                yield objects
            if not going_on:
                self._evidence.close(
                    Ending.BOUND_REACHED if bound_reached else Ending.LISTED_TO_END
                )
                return
            empty_pages = 0 if len(keys) else empty_pages + 1
            if empty_pages > MAX_EMPTY_PAGES:
                raise ListingStuck(self._say(f"sent {empty_pages} empty pages in a row"))
            last_key = keys[-1].as_py() if len(keys) else last_key

    def _check_keys(self, page: Page, last_key: str) -> None:
        keys = page.objects.column("key")
        if not len(keys):
            return
        first, last = keys[0].as_py(), keys[-1].as_py()
        if not keys_ascend(keys):
            raise KeysOutOfOrder(
                self._say(f"lists keys between {first!r} and {last!r} out of byte order")
            )
        if first <= last_key:
            raise KeysOutOfOrder(self._say(f"lists {first!r} after {last_key!r}"))
        if first < self._prefix or last > ceiling(self._prefix):
            raise KeyOutsideRequest(
                self._say(f"lists {first!r} to {last!r} when asked for prefix {self._prefix!r}")
            )

    def _say(self, what: str) -> str:
        return f"{self._lister.connection.where}: the store {what}"
