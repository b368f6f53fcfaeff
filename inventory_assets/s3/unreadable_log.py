"""Records of a listing that cannot be decoded: each is counted once, the first are kept whole."""

from collections.abc import Iterable, Sequence

from inventory_assets.s3.decoding.xml_decoder import Unreadable

MAX_KEPT = 1000
"""Records that are kept verbatim; of others it is only known how many there are."""

_MAX_KNOWN = 100_000
"""Records that are told apart; what is listed again after that many is counted again."""


class UnreadableLog:
    """The unreadable records of a piece of work.

    A page may be listed again, and two ranges may show the same record; it is counted once.

    Attributes:
        count: How many there are.
        first: The first `MAX_KEPT` of them.
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: list[Unreadable] = []
        self._known: set[int] = set()
        self._kinds: set[str] = set()

    def add(self, records: Iterable[Unreadable]) -> None:
        """Take note of records."""
        for record in records:
            known = hash((record.key, record.text))
            if known in self._known:
                continue
            if len(self._known) < _MAX_KNOWN:
                self._known.add(known)
            self._kinds.add(_kind(record))
            self.count += 1
            if len(self.first) < MAX_KEPT:
                self.first.append(record)

    def merge(self, other: "UnreadableLog") -> None:
        """Take note of what another piece of work met."""
        more = other.count - len(other.first)
        self.add(other.first)
        self.count += more

    def has_met(self, records: Iterable[Unreadable]) -> bool:
        """Whether there was a record of each one's kind before."""
        return all(_kind(record) in self._kinds for record in records)

    def __getstate__(self) -> tuple[int, Sequence[Unreadable]]:
        return self.count, self.first

    def __setstate__(self, state: tuple[int, Sequence[Unreadable]]) -> None:
        self.__init__()  # type: ignore[misc]
        count, first = state
        self.add(first)
        self.count = count


def _kind(record: Unreadable) -> str:
    """What is wrong with a record, whatever its values are."""
    return record.reason.partition(" is ")[0].partition(" b'")[0]
