"""What the requests of a listing cost, and which transient errors they met."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from inventory_assets.s3.decoding.page import Unreadable
from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.unreadable_log import UnreadableLog


@dataclass(slots=True)
class RequestStats:
    """Counters of requests and errors; thread-safe.

    Attributes:
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Transient errors, by kind.
        unreadable: Records that cannot be decoded.
    """

    requests: int = 0
    response_bytes: int = 0
    faults: Counter[TransientError] = field(default_factory=Counter)
    unreadable: UnreadableLog = field(default_factory=UnreadableLog)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self) -> None:
        with self._lock:
            self.requests += 1

    def received(self, size: int) -> None:
        with self._lock:
            self.response_bytes += size

    def failed(self, fault: TransientError) -> None:
        with self._lock:
            self.faults[fault] += 1

    def add(self, other: "RequestStats") -> None:
        """Add the counters of `other`."""
        with self._lock:
            self.requests += other.requests
            self.response_bytes += other.response_bytes
            self.faults += other.faults
            self.unreadable.merge(other.unreadable)

    def set_aside(self, records: Iterable[Unreadable]) -> None:
        with self._lock:
            self.unreadable.add(records)

    def __getstate__(self) -> tuple[int, int, Counter[TransientError], UnreadableLog]:
        return self.requests, self.response_bytes, self.faults, self.unreadable

    def __setstate__(self, state: tuple[int, int, Counter[TransientError], UnreadableLog]) -> None:
        self.requests, self.response_bytes, self.faults, self.unreadable = state
        self._lock = threading.Lock()
