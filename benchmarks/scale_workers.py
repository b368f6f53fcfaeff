"""Simulate machines that list one bucket together, in virtual time.

Each machine runs the real engine, retries, limiter and policy in a thread of its own. What it takes
of a core, when it fails, and what of its work outlives it are parameters.
"""

import math
import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from benchmarks.scale_clock import SharedClock, scans_share
from benchmarks.scale_store import Keys, PartitionedStore, StoreLimits, StoreTransport
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import KeyRange, coalesce

PAGE_KEYS = 20
"""Keys in a page of a simulation. A page takes the engine a fifth of the time that one of 1,000
keys does, and the number of requests is the same."""

Ranges = Mapping[str, Sequence[KeyRange]]
"""The ranges that a machine lists, by the prefix of their shard."""


@dataclass(frozen=True, slots=True)
class Machines:
    """The machines of a simulation.

    Attributes:
        workers: Their number.
        in_flight: Requests in flight at most, of each.
        cpu_seconds: Seconds that a page takes of a machine's core.
        failures_per_hour: How often each fails; the times are exponentially distributed.
        part_pages: None if what a checkpoint names outlives the machine (its disk does); otherwise
            only whole parts of so many pages do.
        checkpoint_seconds: The time between two checkpoints.
        takeover_seconds: From a failure until another machine continues.
    """

    workers: int = 1
    in_flight: int = 64
    cpu_seconds: float = 0.001
    failures_per_hour: float = 0.0
    part_pages: int | None = None
    checkpoint_seconds: float = 8.0
    takeover_seconds: float = 60.0


@dataclass(slots=True)
class Outcome:
    """What happened.

    Attributes:
        pages: The pages that the bucket has.
        seconds: Virtual seconds until the last machine had listed its ranges.
        requests: Requests sent.
        refused: Those of them that were answered by 503.
        ranges: Ranges that were completed; each is a row of the evidence.
        failures: Machines that failed.
        finished: When each machine had listed its ranges.
        partitions: The partitions of the bucket at the end.
    """

    pages: int
    seconds: float = 0.0
    requests: int = 0
    refused: int = 0
    ranges: int = 0
    failures: int = 0
    finished: list[float] = field(default_factory=list)
    partitions: int = 1


def by_shards(keys: Keys, workers: int) -> list[Ranges]:
    """Neighbouring shards for each worker, with about equal numbers of keys; none is divided."""
    shares: list[dict[str, Sequence[KeyRange]]] = [{} for _ in range(workers)]
    sizes = keys.sizes
    passed = 0
    for prefix, size in sizes.items():
        worker = min(workers - 1, (2 * passed + size) * workers // (2 * len(keys)))
        shares[worker][prefix] = [KeyRange.of_prefix(prefix)]
        passed += size
    return [share for share in shares if share]


def by_keys(keys: Keys, pieces: int) -> list[Ranges]:
    """So many equal pieces of the keys, wherever prefixes end."""
    whole = KeyRange.of_prefix("")
    ends = [keys[len(keys) * number // pieces - 1] for number in range(1, pieces)]
    bounds = [whole.after, *ends, whole.until]
    return [{"": [KeyRange(after, until)]} for after, until in pairwise(bounds)]


def simulate(
    store: PartitionedStore, machines: Machines, shares: Sequence[Ranges], seed: int = 0
) -> Outcome:
    """List a bucket.

    Args:
        store: The bucket.
        machines: The machines.
        shares: The ranges to list, from `by_shards` or `by_keys`. Each machine takes the next ones
            when it has listed its own.
        seed: The seed of latencies, retries and failures.

    Raises:
        ValueError: A listing failed, or a key was not listed.
    """
    outcome = Outcome(math.ceil(len(store.keys) / store.page_keys))
    random.seed(seed)  # of the retries' delays
    clock = SharedClock()
    waiting = deque(shares)
    workers = [
        _Worker(clock, store, machines, waiting, outcome, random.Random(f"{seed} {number}"))  # noqa: S311
        for number in range(min(machines.workers, len(shares)))
    ]
    with pytest.MonkeyPatch.context() as patch:
        scans_share(clock, patch)
        clock.play([worker.run for worker in workers])
    outcome.seconds = max(outcome.finished)
    outcome.requests, outcome.refused = store.requests, store.refused
    outcome.partitions = store.partitions
    return outcome


def played(
    counts: Mapping[str, int],
    limits: StoreLimits,
    machines: Machines,
    *,
    pieces: int = 0,
    seed: int = 0,
    page_keys: int = PAGE_KEYS,
) -> Outcome:
    """Simulate a bucket with so many pages behind each prefix.

    Args:
        counts: The pages.
        limits: How the store responds.
        machines: The machines.
        pieces: Equal pieces of the keys for each machine, wherever prefixes end; 0 to give each
            machine neighbouring shards.
        seed: The seed of all chances.
        page_keys: Keys in a page.
    """
    keys = Keys({prefix: pages * page_keys for prefix, pages in counts.items()})
    workers = machines.workers
    shares = by_keys(keys, workers * pieces) if pieces else by_shards(keys, workers)
    return simulate(PartitionedStore(keys, limits, page_keys), machines, shares, seed)


class _MachineFailed(Exception):
    pass


class _Worker:
    def __init__(
        self,
        clock: SharedClock,
        store: PartitionedStore,
        machines: Machines,
        waiting: deque[Ranges],
        outcome: Outcome,
        chances: random.Random,
    ) -> None:
        self._clock = clock
        self._store = store
        self._machines = machines
        self._waiting = waiting
        self._outcome = outcome
        self._chances = chances
        self._fails_at = self._next_failure()
        self._lister = self._new_lister()

    def run(self) -> None:
        """List what waits, on as many machines as it takes."""
        while self._waiting:
            self._list_share(self._waiting.popleft())
        self._outcome.finished.append(self._clock.now)

    def _list_share(self, share: Ranges) -> None:
        kept: list[KeyRange] = []
        remaining = share
        while remaining:
            progress = _Progress(self._machines)
            try:
                self._list(remaining, progress)
            except _MachineFailed:
                self._outcome.failures += 1
                self._clock.spend(self._machines.takeover_seconds)
                self._fails_at = self._next_failure()
                self._lister = self._new_lister()
            kept = coalesce(sorted([*kept, *progress.kept()]))
            remaining = {
                prefix: rest
                for prefix, ranges in share.items()
                if (rest := [part for each in ranges for part in each.difference(kept)])
            }

    def _new_lister(self) -> ListClient:
        config = BucketConfig("scale", max_in_flight=self._machines.in_flight)
        transport = StoreTransport(self._store, self._chances.randrange(2**32))
        return ListClient(config, transport=transport)

    def _list(self, share: Ranges, progress: "_Progress") -> None:
        jobs = [ListingJob(prefix, ranges) for prefix, ranges in share.items()]
        scan = ParallelScan(self._lister, jobs)
        with closing(iter(scan)) as events:  # type: ignore[type-var]
            self._follow(events, progress)
        progress.end()

    def _follow(self, events: Iterator[Event], progress: "_Progress") -> None:
        clock, machines = self._clock, self._machines
        recorded_at = clock.now
        for event in events:
            if clock.now >= self._fails_at:
                raise _MachineFailed
            match event:
                case ObjectsListed():
                    pages = event.objects.num_rows / self._store.page_keys
                    progress.listed(event, pages)
                    clock.spend(machines.cpu_seconds * pages)
                case RangeSplit():
                    progress.split(event)
                case RangeCompleted():
                    self._outcome.ranges += 1
                    progress.completed(event)
                case JobFailed():
                    raise ValueError(f"a listing failed: {event.error}") from event.error
            if clock.now >= recorded_at + machines.checkpoint_seconds:
                progress.record()
                recorded_at = clock.now

    def _next_failure(self) -> float:
        rate = self._machines.failures_per_hour / 3600
        return self._clock.now + self._chances.expovariate(rate) if rate else math.inf


@dataclass(slots=True)
class _OpenRange:
    """A range in progress: from `after`, exclusive, `last` was listed, and `safe` is kept."""

    after: str | None
    last: str = ""
    safe: str = ""
    unpublished: float = 0.0


class _Progress:
    """What a machine has listed, and what of it another one can continue."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._open: dict[tuple[ListingJob, int], _OpenRange] = {}
        self._completed: list[KeyRange] = []
        self._safe: list[KeyRange] = []

    def listed(self, event: ObjectsListed, pages: float) -> None:
        """Add objects of a range."""
        place = self._place(event.job, event.index)
        keys = event.objects.column("key")
        if place.after is None:
            place.after = str(keys[0].as_py())
        place.last = str(keys[-1].as_py())
        place.unpublished += pages
        part_pages = self._machines.part_pages
        if part_pages is not None and place.unpublished >= part_pages:
            place.safe, place.unpublished = place.last, 0.0

    def split(self, event: RangeSplit) -> None:
        """Open the range that was split off."""
        after = event.boundary if event.touches else None
        self._open[event.job, event.upper] = _OpenRange(after)

    def completed(self, event: RangeCompleted) -> None:
        """Close a range; its parts are published."""
        self._open.pop((event.job, event.index), None)
        self._completed.append(event.evidence.key_range)

    def record(self) -> None:
        """Write a checkpoint."""
        self._safe += self._completed
        self._completed = []
        if self._machines.part_pages is None:
            for place in self._open.values():
                place.safe = place.last

    def end(self) -> None:
        """Record the end of the listing."""
        self._safe += self._completed

    def kept(self) -> list[KeyRange]:
        """The ranges that no other machine lists again."""
        in_progress = [
            KeyRange(place.after, place.safe)
            for place in self._open.values()
            if place.after is not None and place.after < place.safe
        ]
        return [*self._safe, *in_progress]

    def _place(self, job: ListingJob, index: int) -> _OpenRange:
        if (job, index) not in self._open:
            self._open[job, index] = _OpenRange(job.ranges[index].after)
        return self._open[job, index]
