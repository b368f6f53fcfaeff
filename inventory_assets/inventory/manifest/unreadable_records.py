"""What a listing met that cannot be decoded, as snapshots, checkpoints and folders keep it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from inventory_assets.inventory.errors import RecordsUnreadable
from inventory_assets.s3.decoding.xml_decoder import Unreadable
from inventory_assets.s3.unreadable_log import MAX_STORED, UnreadableLog
from inventory_assets.scan.keyspace.key_range import KeyRange

MAX_TOLERATED = 100
"""Records that may be unreadable however few the others are."""

_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    r"""A record that cannot be decoded.

    Attributes:
        xml: The element as it came, at most 4 KiB of it. A backslash is doubled, and a byte that is
            not UTF-8 stands as `\xNN`, so that the bytes can be told.
        reason: Why it cannot be decoded.
        key: The key, where that much is certain.
        sort_key: Where it stands among the keys.
    """

    xml: str
    reason: str
    key: str | None
    sort_key: str


@dataclass(frozen=True, slots=True)
class UnreadableRecords:
    """The records of a listing that cannot be decoded.

    Attributes:
        count: How many there are.
        first: The first of them, 1,000 at most.
    """

    count: int = 0
    first: tuple[UnreadableRecord, ...] = ()

    def joined(self, log: UnreadableLog) -> "UnreadableRecords":
        """These and those of a log; what both have is there once."""
        added = unreadable_of(log)
        there = set(self.first)
        records = (*self.first, *(each for each in added.first if each not in there))
        count = self.count + added.count - (len(self.first) + len(added.first) - len(records))
        in_order = sorted(records, key=lambda each: each.sort_key)
        return UnreadableRecords(count, tuple(in_order[:MAX_STORED]))

    @property
    def others(self) -> int:
        """How many there are beside the first."""
        return self.count - len(self.first)

    def within(
        self, ranges: Sequence[KeyRange], *, with_others: bool = True
    ) -> "UnreadableRecords":
        """Those among some keys, and those of which nobody knows where they stand.

        Args:
            ranges: The keys.
            with_others: Whether to count those beside the first.
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
        """The records that are kept as JSON, one a line."""
        return "".join(f"{json.dumps(asdict(record))}\n" for record in self.first)


NOTHING_UNREADABLE = UnreadableRecords()


def unreadable_of(log: UnreadableLog) -> UnreadableRecords:
    """What a log has noted of a piece of work."""
    return UnreadableRecords(log.count, tuple(_written(log.first)))


def require_readable(where: str, rows: int, found: UnreadableRecords, most: int) -> None:
    """Refuse a listing whose records cannot be read for the most part.

    A few bad records are set aside; but a listing of which nothing, or less than half, can be read
    is no inventory: it is the store that writes its listings in a way of its own.

    Args:
        where: What was listed.
        rows: Records that were read.
        found: Those that were not.
        most: How many may be unreadable even so.

    Raises:
        RecordsUnreadable: More than that are, and more than were read.
    """
    if found.count <= max(rows, most):
        return
    example = found.first[0]
    raise RecordsUnreadable(
        f"{where}: {found.count:,} of {found.count + rows:,} records cannot be read, as "
        f"{example.reason}: {example.xml[:_SHOWN_CHARACTERS]!r}; so these are no single bad "
        "records, but the way in which the store lists, and nothing was published"
    )


def _written(records: Iterable[Unreadable]) -> Iterable[UnreadableRecord]:
    for record in records:
        xml = record.text.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
        yield UnreadableRecord(xml, record.reason, record.key, record.sort_key)
