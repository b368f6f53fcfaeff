"""Count the records of a listing that cannot be decoded, and store the first ones."""

from collections.abc import Iterable, Sequence

from inventory_assets.s3.decoding.page import Unreadable

MAX_STORED = 1000
"""Maximum records to store; further ones are only counted."""

_MAX_REMEMBERED = 100_000
"""Maximum records to remember; beyond it, a record that is listed twice is counted twice."""


class UnreadableLog:
    """The unreadable records of a listing.

    A page may be listed twice, and two ranges may contain the same record; it is counted once.

    Attributes:
        count: The number of unreadable records.
        first: The first ones, at most `MAX_STORED`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Unreadable] = []
        self._known: set[int] = set()
        self._kinds: set[str] = set()

    def add(self, records: Iterable[Unreadable]) -> None:
        """Add records, ignoring known ones."""
        for record in records:
            known = hash((record.key, record.text))
            if known in self._known:
                continue
            if len(self._known) < _MAX_REMEMBERED:
                self._known.add(known)
            self._kinds.add(_kind(record))
            self.count += 1
            if len(self.first) < MAX_STORED:
                self.first.append(record)

    def merge(self, other: "UnreadableLog") -> None:
        """Add the records of another log."""
        more = other.count - len(other.first)
        self.add(other.first)
        self.count += more

    def knows_kinds_of(self, records: Iterable[Unreadable]) -> bool:
        """Whether each record's kind occurred before."""
        return all(_kind(record) in self._kinds for record in records)

    def __getstate__(self) -> tuple[int, Sequence[Unreadable]]:
        return self.count, self.first

    def __setstate__(self, state: tuple[int, Sequence[Unreadable]]) -> None:
        self.__init__()  # type: ignore[misc]
        count, first = state
        self.add(first)
        self.count = count


def _kind(record: Unreadable) -> str:
    """The reason without the values in it."""
    return record.reason.partition(" is ")[0].partition(" b'")[0]
