"""List a store that uses directory order, and yield its objects in key order.

Such a store sorts names level by level: the keys under `a/` are listed where `a` belongs among its
siblings, before `a-b`, although `-` is less than `/`. StartAfter is not reliable there. The scan
lists each level with a delimiter and continuation tokens, one request at a time, and descends into
a folder only when no sibling can precede its keys. All folders that wait at the same time are
prefixes of one name, so memory is bounded by the depth and one page per level.
"""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence

import pyarrow as pa

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.directory_level import DirectoryLevels, bare_name
from inventory_assets.scan.errors import KeysOutOfOrder
from inventory_assets.scan.first_page import first_page
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS
from inventory_assets.scan.keyspace.key_range import DELIMITER, KeyRange
from inventory_assets.scan.keyspace.sorted_keys import keys_ascend
from inventory_assets.scan.validation.range_evidence import Ending, EvidenceBuilder


class DirectoryOrderScan:
    """Iterates over the objects of ranges, in key order, on a store that uses directory order.

    Args:
        lister: The bucket.
        prefix: The common prefix of all keys of the ranges.
        ranges: The ranges to list, disjoint and in key order; folders outside them are skipped.
        stats: Counts requests and transient errors.
        evidence: Receives the evidence of the ranges.
    """

    def __init__(
        self,
        lister: PageSource,
        prefix: str,
        ranges: Sequence[KeyRange],
        stats: RequestStats,
        evidence: EvidenceBuilder,
    ) -> None:
        self._lister = lister
        self._prefix = prefix
        self._ranges = ranges
        self._ends = [key_range.until for key_range in ranges]
        self._stats = stats
        self._evidence = evidence
        self._levels = DirectoryLevels(lister, stats, evidence)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield non-empty batches with `OBJECT_SCHEMA`.

        Raises:
            KeysOutOfOrder: A level is not in the order of its names.
            NamesMisread: Keys have another encoding than the profile says.
            KeyOutsideRequest: A key or folder is outside the requested folder.
            ListingStuck: A continuation token is repeated, or empty pages do not end.
            S3Error: A request failed permanently.
        """
        ranges = list(self._ranges)
        last_key = ""
        for objects in self._objects():
            keys = objects.column("key").to_pylist()
            if not keys_ascend(objects.column("key")):
                raise KeysOutOfOrder(self._message(f"lists a key twice near {keys[0]!r}"))
            if keys[0] <= last_key:
                raise KeysOutOfOrder(self._message(f"lists {keys[0]!r} after {last_key!r}"))
            last_key = keys[-1]
            start = 0
            while start < len(keys):
                while keys[start] > ranges[0].until:
                    ranges.pop(0)
                    self._evidence.close(Ending.LISTED_TO_END)
                end = start
                while end < len(keys) and keys[end] in ranges[0]:
                    end += 1
                if end == start:
                    raise KeysOutOfOrder(self._message(f"lists {keys[start]!r} outside its range"))
                part = objects.slice(start, end - start)
                self._evidence.rows(part.column("key"))
                yield part
                start = end
        for _ in ranges:
            self._evidence.close(Ending.LISTED_TO_END)

    def _objects(self) -> Iterator[pa.RecordBatch]:
        if self._ranges:
            self._levels.measure_page(self._prefix)
        # An explicit stack, as keys may be nested deeper than Python's recursion limit.
        open_levels = [self._level(self._prefix)] if self._ranges else []
        while open_levels:
            found = next(open_levels[-1], None)
            if found is None:
                open_levels.pop()
            elif isinstance(found, str):
                open_levels.append(self._level(found))
            else:
                yield found

    def _level(self, prefix: str) -> Iterator[pa.RecordBatch | str]:
        """Yield the level's objects, and each folder at the position of its keys."""
        folders: list[str] = []
        last_folder = ""
        for page in self._levels.pages(prefix):
            self._stats.set_aside(
                each for each in page.unreadable if not each.sort_key or self._covers(each.sort_key)
            )
            rows: list[int] = []
            for name, row in self._entries(page):
                if row is None and name == last_folder:
                    continue  # some stores repeat a folder at the start of the next page
                last_folder = name if row is None else last_folder
                while folders and folders[0] < name:
                    yield from _select_rows(page.objects, rows)
                    yield folders.pop(0)
                if row is None:
                    insort(folders, name)
                else:
                    rows.append(row)
            yield from _select_rows(page.objects, rows)
        yield from folders

    def _entries(self, page: Page) -> list[tuple[str, int | None]]:
        """The page's objects (with their row) and folders, sorted by bare name."""
        keys = page.objects.column("key").to_pylist()
        e_tags = page.objects.column("e_tag").to_pylist()
        entries: list[tuple[str, int | None]] = [
            (key, row)
            for row, (key, e_tag) in enumerate(zip(keys, e_tags, strict=True))
            if self._covers(key) and (e_tag is not None or self._is_object(key))
        ]
        entries += [(name, None) for name in page.common_prefixes if self._may_overlap(name)]
        return sorted(entries, key=lambda entry: bare_name(entry[0]))

    def _is_object(self, key: str) -> bool:
        """Whether a key without an ETag is an object.

        SeaweedFS lists an empty folder as such a key, but only with a delimiter; an object `a/`
        has an ETag there. Other stores may omit the ETag of an object.
        """
        if not key.endswith(DELIMITER):
            return True
        if (self._lister.server or "").startswith(DIRECTORY_SERVERS):
            return False
        request = PageRequest(key, max_keys=1)
        page = asyncio.run(first_page(self._lister, request, self._stats))
        return bool(page.objects.column("key").to_pylist() == [key])

    def _covers(self, key: str) -> bool:
        at = bisect_left(self._ends, key)
        return at < len(self._ends) and key in self._ranges[at]

    def _may_overlap(self, folder: str) -> bool:
        """Whether a key of the folder may be in one of the ranges."""
        keys = KeyRange.of_prefix(folder)
        at = bisect_right(self._ends, keys.after)
        return at < len(self._ends) and self._ranges[at].after < keys.until

    def _message(self, what: str) -> str:
        return f"{self._lister.bucket_config.display_name}: the store {what}"


def _select_rows(objects: pa.RecordBatch, rows: list[int]) -> Iterator[pa.RecordBatch]:
    if rows:
        yield objects.take(pa.array(rows))
        rows.clear()
