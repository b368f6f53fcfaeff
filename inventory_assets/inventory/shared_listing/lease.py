"""Whether the holder of a record still renews it, by the clock of the observer alone.

Clocks of different machines are never compared. An observer measures for how long a record has had
the same content. It counts only time in which it looked at the record again and again: after a gap,
because the store or the observer stood still, the lease begins anew, as the holder may not have
been able to renew its claim either.
"""

from collections.abc import Callable
from dataclasses import dataclass

LEASE_SECONDS = 60.0
"""For how long a holder may be silent before others take its ranges over."""

RENEWALS_PER_LEASE = 6
"""A claim is renewed so often in a lease, so that some renewals may fail."""

LOOKS_PER_LEASE = 3
"""If an observer looks at a record less often than this, the lease begins anew."""


@dataclass(slots=True)
class _Seen:
    data: bytes
    since: float
    last: float


class LeaseWatch:
    """The records that one participant observes.

    Args:
        lease_seconds: The length of a lease.
        clock: A monotonic clock in seconds, which goes on while the machine sleeps.
    """

    def __init__(self, lease_seconds: float, clock: Callable[[], float]) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, name: str, data: bytes) -> bool:
        """Note the present content of a claimed record; return whether its lease has expired."""
        now, seen = self._clock(), self._seen.get(name)
        gap = self._lease_seconds / LOOKS_PER_LEASE
        if seen is None or seen.data != data or now - seen.last > gap:
            self._seen[name] = _Seen(data, now, now)
            return False
        seen.last = now
        return now - seen.since >= self._lease_seconds

    def forget(self, name: str) -> None:
        """Stop observing a record."""
        self._seen.pop(name, None)
