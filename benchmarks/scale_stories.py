"""Buckets and machines that `benchmarks/scale.py` both simulates and computes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.scale_model import Bucket, Costs, Division, Estimate, Fleet, estimate
from benchmarks.scale_store import LIST_RATE, StoreLimits
from benchmarks.scale_workers import Machines, Outcome, played

NO_RATE = StoreLimits(rate=None)
SCALED = 20
"""Rates and machines of some stories are so many times smaller than S3's, to save time."""


@dataclass(frozen=True, slots=True)
class Story:
    """A bucket and machines that are both simulated and computed.

    Attributes:
        name: What is special about them.
        pages: The pages behind each prefix.
        limits: How the store responds.
        machines: The machines.
        pieces: As in `played`.
        seeds: The seeds of the simulations, whose times are averaged.
        measured: Seconds of the same listing over HTTP, in docs/benchmarks.md.
    """

    name: str
    pages: Mapping[str, int]
    limits: StoreLimits
    machines: Machines
    pieces: int = 0
    seeds: Sequence[int] = (0,)
    measured: float | None = None

    def simulated(self) -> list[Outcome]:
        """Play it, once for each seed."""
        return [
            played(self.pages, self.limits, self.machines, pieces=self.pieces, seed=seed)
            for seed in self.seeds
        ]

    def computed(self) -> Estimate:
        """What the model says of it."""
        machines, pages = self.machines, sum(self.pages.values())
        shards = machines.workers if self.pieces else len(self.pages)
        largest = 0.0 if self.pieces else max(self.pages.values()) / pages
        return estimate(
            Bucket(pages * 1000, shards, largest),
            Fleet(
                machines.workers,
                machines.workers * machines.in_flight,
                shares_limit=False,
                division=Division.JOIN if self.pieces > 1 else Division.RUNS,
                failures_per_hour=machines.failures_per_hour,
                takeover_seconds=machines.takeover_seconds,
                checkpoint_seconds=machines.checkpoint_seconds,
                keeps_disk=machines.part_pages is None,
                part_pages=machines.part_pages or 1,
            ),
            self.limits,
            Costs(cpu_seconds_per_million=machines.cpu_seconds * 1000),
        )


ONE = {"data/": 10_000}
EQUAL = {f"{number:02}/": 312 for number in range(32)}
SKEWED = {"0/": 4_000, **{f"{number:02}/": 200 for number in range(1, 31)}}
THROTTLED = StoreLimits(rate=LIST_RATE / SCALED)
FAILING = Machines(8, 16, failures_per_hour=200, takeover_seconds=5)

STORIES = (
    Story(
        "one machine, 64 in flight, 100 ms",
        ONE,
        StoreLimits(spread=0, rate=None),
        Machines(cpu_seconds=0.00085),
        measured=17.5,
    ),
    Story(
        "the same, 30 ms: its core is the limit",
        ONE,
        StoreLimits(latency=0.03, spread=0, rate=None),
        Machines(cpu_seconds=0.00069),
        measured=7.3,
    ),
    Story("8 machines, 32 equal shards", EQUAL, NO_RATE, Machines(8, 16)),
    Story("8 machines, a shard with 40 %", SKEWED, NO_RATE, Machines(8, 16)),
    Story("8 machines, one flat prefix", ONE, NO_RATE, Machines(8, 16), pieces=1),
    Story("4 machines, one partition", ONE, THROTTLED, Machines(4, 32), pieces=1),
    Story(
        "16 machines, one partition", ONE, THROTTLED, Machines(16, 16), pieces=1, seeds=(0, 1, 2)
    ),
    Story(
        "the same, ranges are handed out",
        ONE,
        THROTTLED,
        Machines(16, 16),
        pieces=4,
        seeds=(0, 1, 2),
    ),
    Story(
        "16 machines, S3's full rate, handed out",
        {"data/": 100_000},
        StoreLimits(),
        Machines(16, 64),
        pieces=4,
    ),
    Story("50 machines, one partition", ONE, THROTTLED, Machines(50, 16), pieces=1),
    Story(
        "8 machines, partitions split after 30 s",
        {"data/": 25_000},
        StoreLimits(rate=LIST_RATE / SCALED, split_seconds=30),
        Machines(8, 32),
        pieces=1,
    ),
    Story("failures, disks are kept", ONE, NO_RATE, FAILING, pieces=1, seeds=(0, 1, 2)),
    Story(
        "failures, whole parts are kept",
        ONE,
        NO_RATE,
        Machines(8, 16, failures_per_hour=200, takeover_seconds=5, part_pages=50),
        pieces=1,
        seeds=(0, 1, 2),
    ),
)
