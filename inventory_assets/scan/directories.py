"""Walk a store that lists in directory order, and give its objects back in key order.

Such a store compares names level by level: everything under `a/` comes where `a` stands among its
siblings, before `a-b`, although `-` is less than `/`. Its StartAfter cannot be relied on. So each
level is listed by delimiter and continuation token alone, one request at a time, and a folder is
entered only when no sibling can come before its keys. The folders that wait at a moment are all
prefixes of one name, so memory stays bounded by the depth and one page a level.
"""

from bisect import insort
from collections.abc import Iterator

import pyarrow as pa

from inventory_assets.s3 import BucketLister, Page, PageRequest, Tally
from inventory_assets.scan.errors import KeysOutOfOrder, ListingStuck
from inventory_assets.scan.evidence import Ending, EvidenceLog
from inventory_assets.scan.shards import Shard

DELIMITER = "/"


class DirectoryOrderWalk:
    """The objects of a shard, in key order, from a store that lists in directory order.

    Args:
        lister: The bucket.
        shard: What to list; its excluded prefixes are not entered.
        tally: Where requests and faults are counted.
        evidence: Where the proof is written, for the shard's ranges.
    """

    def __init__(
        self, lister: BucketLister, shard: Shard, tally: Tally, evidence: EvidenceLog
    ) -> None:
        self._lister = lister
        self._shard = shard
        self._tally = tally
        self._evidence = evidence

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield batches with `OBJECT_SCHEMA`, none empty.

        Raises:
            KeysOutOfOrder: A level is not in the order of its names either.
            ListingStuck: A continuation token is repeated.
            S3Error: A request failed for good.
        """
        ranges = list(self._shard.ranges)
        last_key = ""
        for objects in self._level(self._shard.prefix):
            keys = objects.column("key").to_pylist()
            if keys[0] <= last_key:
                raise KeysOutOfOrder(self._say(f"lists {keys[0]!r} after {last_key!r}"))
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
                    raise KeysOutOfOrder(self._say(f"lists {keys[start]!r} outside the shard"))
                part = objects.slice(start, end - start)
                self._evidence.rows(part.column("key"))
                yield part
                start = end
        for _ in ranges:
            self._evidence.close(Ending.LISTED_TO_END)

    def _level(self, prefix: str) -> Iterator[pa.RecordBatch]:
        folders: list[str] = []
        for page in self._pages(prefix):
            rows: list[int] = []
            for name, row in self._entries(page):
                while folders and folders[0] < name:
                    yield from _taken(page.objects, rows)
                    yield from self._level(folders.pop(0))
                if row is None:
                    insort(folders, name)
                else:
                    rows.append(row)
            yield from _taken(page.objects, rows)
        for folder in folders:
            yield from self._level(folder)

    def _entries(self, page: Page) -> list[tuple[str, int | None]]:
        """The page's objects (with their row) and folders, in the order of their bare names."""
        keys = page.objects.column("key").to_pylist()
        entries: list[tuple[str, int | None]] = [
            (key, row) for row, key in enumerate(keys) if self._shard.covers(key)
        ]
        entries += [(name, None) for name in page.common_prefixes if self._shard.covers(name)]
        return sorted(entries, key=lambda entry: _bare(entry[0]))

    def _pages(self, prefix: str) -> Iterator[Page]:
        token: str | None = None
        last_name = ""
        while True:
            page = self._lister.page(
                PageRequest(prefix, token=token, delimiter=DELIMITER), self._tally
            )
            self._evidence.page()
            names = [_bare(key) for key in page.objects.column("key").to_pylist()]
            names += [_bare(name) for name in page.common_prefixes]
            if names:
                if min(names) < last_name:
                    raise KeysOutOfOrder(
                        self._say(
                            f"lists {min(names)!r} after {last_name!r} in one folder: neither in "
                            "byte order nor in directory order"
                        )
                    )
                last_name = max(names)
            yield page
            if not page.is_truncated:
                return
            if page.next_token == token:
                raise ListingStuck(self._say(f"repeats the continuation token {token!r}"))
            token = page.next_token

    def _say(self, what: str) -> str:
        return f"{self._lister.connection.where}: the store {what}"


def _bare(name: str) -> str:
    return name.removesuffix(DELIMITER)


def _taken(objects: pa.RecordBatch, rows: list[int]) -> Iterator[pa.RecordBatch]:
    if rows:
        yield objects.take(pa.array(rows))
        rows.clear()
