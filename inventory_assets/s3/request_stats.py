"""What the requests of a listing cost, and which transient errors they met."""

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from inventory_assets.s3.decoding.page import Unreadable
from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.latency_histogram import LatencyHistogram, bucket_of
from inventory_assets.s3.unreadable_log import UnreadableLog

_State = tuple[int, int, Counter[TransientError], UnreadableLog, Counter[int]]


@dataclass(slots=True)
class RequestStats:
    """Counters of requests and errors; thread-safe.

    Attributes:
        requests: Requests sent, failed attempts included.
        response_bytes: Bytes of the bodies received.
        faults: Transient errors, by kind.
        unreadable: Records that cannot be decoded.
        latencies: Successful requests, by the bucket of their latency.
    """

    requests: int = 0
    response_bytes: int = 0
    faults: Counter[TransientError] = field(default_factory=Counter)
    unreadable: UnreadableLog = field(default_factory=UnreadableLog)
    latencies: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sent(self) -> None:
        with self._lock:
            self.requests += 1

    def received(self, size: int) -> None:
        with self._lock:
            self.response_bytes += size

    def succeeded(self, seconds: float) -> None:
        with self._lock:
            self.latencies[bucket_of(seconds)] += 1

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
            self.latencies += other.latencies

    def set_aside(self, records: Iterable[Unreadable]) -> None:
        with self._lock:
            self.unreadable.add(records)

    @property
    def latency(self) -> LatencyHistogram:
        """The latencies of the successful requests so far."""
        with self._lock:
            return LatencyHistogram(dict(sorted(self.latencies.items())))

    def __getstate__(self) -> _State:
        return self.requests, self.response_bytes, self.faults, self.unreadable, self.latencies

    def __setstate__(self, state: _State) -> None:
        self.requests, self.response_bytes, self.faults, self.unreadable, self.latencies = state
        self._lock = threading.Lock()
