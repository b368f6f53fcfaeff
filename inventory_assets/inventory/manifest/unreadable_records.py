"""Records of a listing that cannot be decoded, as snapshots, checkpoints and folders keep them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from inventory_assets.inventory.errors import RecordsUnreadable
from inventory_assets.s3.decoding.page import Unreadable
from inventory_assets.s3.unreadable_log import MAX_STORED, UnreadableLog
from inventory_assets.scan.keyspace.key_range import KeyRange

MAX_TOLERATED = 100
"""The number of unreadable records that is tolerated in every listing."""

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    r"""A record that cannot be decoded.

    Attributes:
        xml: The element as received, at most 4 KiB of it. A backslash is doubled, and a byte that
            is not UTF-8 is written as `\xNN`, so that the bytes can be restored.
        reason: Why it cannot be decoded.
        key: The key, if it is certain.
        sort_key: A key at its place in key order; "" if the place is unknown.
    """

    xml: str
    reason: str
    key: str | None
    sort_key: str


@dataclass(frozen=True, slots=True)
class UnreadableRecords:
    """The records of a listing that cannot be decoded.

    Attributes:
        count: Their number.
        first: The first of them, at most 1,000.
    """

    count: int = 0
    first: tuple[UnreadableRecord, ...] = ()

    def joined(self, log: UnreadableLog) -> "UnreadableRecords":
        """Add the records of a log, without duplicates."""
        added = unreadable_of(log)
        there = set(self.first)
        records = (*self.first, *(each for each in added.first if each not in there))
        count = self.count + added.count - (len(self.first) + len(added.first) - len(records))
        in_order = sorted(records, key=lambda each: each.sort_key)
        return UnreadableRecords(count, tuple(in_order[:MAX_STORED]))

    @property
    def others(self) -> int:
        """The number of records that are not among `first`."""
        return self.count - len(self.first)

    def within(
        self, ranges: Sequence[KeyRange], *, with_others: bool = True
    ) -> "UnreadableRecords":
        """Those in some key ranges, and those whose place is unknown.

        Args:
            ranges: The key ranges.
            with_others: Whether to count `others`, whose places are unknown.
        """
        records = [
            record
            for record in self.first
            if not record.sort_key or any(record.sort_key in each for each in ranges)
        ]
        others = self.others if with_others else 0
        return UnreadableRecords(len(records) + others, tuple(records[:MAX_STORED]))

    @property
    def lines(self) -> str:
        """The first records as JSON, one in each line."""
        return "".join(f"{json.dumps(asdict(record))}\n" for record in self.first)


NOTHING_UNREADABLE = UnreadableRecords()


def unreadable_of(log: UnreadableLog) -> UnreadableRecords:
    """The unreadable records of a log."""
    return UnreadableRecords(log.count, tuple(_written(log.first)))


def require_readable(where: str, rows: int, found: UnreadableRecords, most: int) -> None:
    """Refuse a listing if most of its records cannot be read.

    A few unreadable records are tolerated. If more than half are unreadable, the store probably
    lists in an unknown format, and the result would not be an inventory.

    Args:
        where: The name of the listing in messages.
        rows: The number of records that were read.
        found: The records that could not be read.
        most: The number of unreadable records that is always tolerated.

    Raises:
        RecordsUnreadable: More than `most` records are unreadable, and more than were read.
    """
    if found.count <= max(rows, most):
        return
    example = found.first[0]
    raise RecordsUnreadable(
        f"{where}: {found.count:,} of {found.count + rows:,} records cannot be read, as "
        f"{example.reason}: {example.xml[:_SHOWN_CHARACTERS]!r}; the store probably lists in a "
        "format that is not supported, and nothing was published"
    )


def _written(records: Iterable[Unreadable]) -> Iterable[UnreadableRecord]:
    for record in records:
        xml = record.text.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
        yield UnreadableRecord(xml, record.reason, record.key, record.sort_key)
