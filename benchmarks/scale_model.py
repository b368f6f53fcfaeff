"""How long a listing of any size takes, on any number of machines: arithmetic on measured figures.

The slowest of these sets the pace: the cores of the machines, the requests that may be in flight,
the rates of the bucket's partitions, and the machine with the largest share of the objects.
Machines that fail lose work. `benchmarks/scale.py` compares the model with simulations of the real
engine.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.scale_store import SPLIT_LOAD, StoreLimits
from inventory_assets.inventory.parts.part_writer import PART_ROWS
from inventory_assets.s3.concurrency.policies import MIN_LIMIT
from inventory_assets.s3.decoding.page import MAX_KEYS

MAX_RUNS = 64
"""Runs that list a date of one source together."""

MAX_IN_FLIGHT = 1_024
"""The greatest `concurrency` of a source, over all its runs."""

DAY = 86_400.0
"""Seconds after which an unfinished listing is not continued (`checkpoints.MAX_AGE`)."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a listing takes; docs/benchmarks.md has the measurements.

    Attributes:
        requests_per_page: Requests for 1,000 keys; 1.005 to 1.025 for ten million.
        cpu_seconds_per_million: 1.13 for `inventory list` of hashes, 0.12 more over TLS, and 0.1
            more for the hashes of an asset.
        in_flight_used: The share of the allowed requests that is in flight: 59.6 of 64.
        rate_used: The share of a partition's rate that machines with limits of their own use.
        ramp_fixed_seconds, ramp_latencies: How long it takes until 90 % of the allowed requests are
            in flight, as measured for 30 and 100 ms; the end costs as much as the beginning, half
            of it each.
    """

    requests_per_page: float = 1.012
    cpu_seconds_per_million: float = 1.35
    in_flight_used: float = 0.93
    rate_used: float = 0.95
    ramp_fixed_seconds: float = 0.4
    ramp_latencies: float = 8.0


COSTS = Costs()


class Division(StrEnum):
    """How the machines divide a bucket.

    Attributes:
        RUNS: Each lists neighbouring shards (`schedule.runs`); no shard is divided.
        JOIN: Any range of keys can change hands (`inventory list --join`).
    """

    RUNS = "runs"
    JOIN = "join"


class Limit(StrEnum):
    """What sets the pace."""

    CPU = "CPU"
    IN_FLIGHT = "requests in flight"
    PARTITIONS = "rate of the partitions"
    SHARD = "largest share of a machine"
    RAMP = "start and end"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket.

    Attributes:
        objects: Its objects.
        shards: Its shards, of equal size except for the largest one.
        largest_share: The share of the objects in the largest shard; 0 if all are equal.
    """

    objects: int
    shards: int = 256
    largest_share: float = 0.0

    @property
    def pages(self) -> int:
        """Pages of 1,000 keys."""
        return math.ceil(self.objects / MAX_KEYS)


@dataclass(frozen=True, slots=True)
class Fleet:
    """The machines: a core for each worker.

    Attributes:
        workers: Their number.
        in_flight: Requests in flight at most, over all.
        shares_limit: Whether those that work may use the requests of those that are done.
        division: How they divide the bucket.
        failures_per_hour: How often each fails.
        takeover_seconds: From a failure until another machine continues.
        checkpoint_seconds: The time between checkpoints.
        keeps_disk: Whether another machine sees the disk of the one that failed; otherwise it
            continues from whole parts.
        part_pages: Pages of a part.
    """

    workers: int = 1
    in_flight: int = 64
    shares_limit: bool = True
    division: Division = Division.RUNS
    failures_per_hour: float = 0.0
    takeover_seconds: float = 60.0
    checkpoint_seconds: float = 8.0
    keeps_disk: bool = True
    part_pages: int = PART_ROWS // MAX_KEYS

    @classmethod
    def of_sources(cls, workers: int, per_worker: int = 64) -> "Fleet":
        """Workers that list as many sources as the limits of one require."""
        sources = math.ceil(workers / MAX_RUNS)
        return cls(workers, min(per_worker * workers, MAX_IN_FLIGHT * sources))


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a listing takes.

    Attributes:
        seconds: From the first request to the end of the last machine; infinite if machines fail
            faster than they work.
        limited_by: What sets the pace.
        requests: Requests that are answered by a page; infinite if the listing never ends.
        failures: Machines that fail meanwhile, on average.
        lost_seconds: What a failure costs the machine that takes over, its own start included.
        partitions: The partitions of the bucket at the end.
    """

    seconds: float
    limited_by: Limit
    requests: float
    failures: float
    lost_seconds: float
    partitions: int


def estimate(
    bucket: Bucket, fleet: Fleet, limits: StoreLimits | None = None, costs: Costs = COSTS
) -> Estimate:
    """What it takes to list a bucket.

    Args:
        bucket: The bucket.
        fleet: The machines.
        limits: How the store responds; None for S3 with one partition.
        costs: What the project takes.
    """
    limits = limits or StoreLimits()
    requests = bucket.pages * costs.requests_per_page
    cores = 1e6 / MAX_KEYS / costs.cpu_seconds_per_million
    flow = fleet.in_flight * costs.in_flight_used / limits.mean_latency
    paces = {Limit.CPU: cores * fleet.workers, Limit.IN_FLIGHT: flow}
    fastest = min(paces, key=paces.__getitem__)
    unlimited = requests / paces[fastest]
    seconds, partitions = _under_rates(requests, paces[fastest], limits, costs.rate_used)
    limited_by = fastest if seconds <= unlimited * 1.001 else Limit.PARTITIONS
    share = largest_slice(bucket, fleet)
    own_flow = flow if fleet.shares_limit else flow / fleet.workers
    alone = _under_rates(requests * share, min(cores, own_flow), limits, costs.rate_used)[0]
    if alone > seconds * 1.001:
        seconds, limited_by = alone, Limit.SHARD
    ramp = costs.ramp_fixed_seconds + costs.ramp_latencies * limits.mean_latency
    if ramp > seconds:
        limited_by = Limit.RAMP
    working = seconds + ramp
    lost = _lost_seconds(fleet, limits, working) + ramp
    ended = _with_failures(fleet, working, lost)
    failures = fleet.failures_per_hour / 3600 * fleet.workers * ended
    repeated = max(0.0, lost - fleet.takeover_seconds - ramp)
    again = failures * repeated * paces[fastest] / fleet.workers
    return Estimate(
        ended,
        limited_by,
        requests + again if math.isfinite(ended) else math.inf,
        failures,
        lost,
        partitions,
    )


def largest_slice(bucket: Bucket, fleet: Fleet) -> float:
    """The share of the objects that the machine with the most of them lists."""
    if fleet.division is Division.JOIN:
        return 1 / fleet.workers
    of_equal = math.ceil(bucket.shards / fleet.workers) / bucket.shards
    return min(1.0, max(of_equal, bucket.largest_share, 1 / fleet.workers))


def overload_workers(limits: StoreLimits, partitions: int = 1) -> float:
    """The number of machines from which even one request each is more than the store answers."""
    rate = math.inf if limits.rate is None else limits.rate
    return rate * partitions * limits.mean_latency / MIN_LIMIT


def expected_most(mean: float, workers: int) -> float:
    """The mean of the greatest of some numbers with a Poisson distribution."""
    if mean <= 0:
        return 0.0
    total, chance, below = 0.0, math.exp(-mean), 0.0
    if not chance:  # the normal distribution is close enough
        return mean + math.sqrt(2 * mean * math.log(max(workers, 1)))
    for count in range(int(mean + 20 * math.sqrt(mean) + 50)):
        below = min(1.0, below + chance)
        total += 1 - below**workers
        chance *= mean / (count + 1)
    return total


def _under_rates(
    requests: float, pace: float, limits: StoreLimits, used: float
) -> tuple[float, int]:
    """Seconds and partitions, where partitions that are under load are split."""
    partitions = limits.partitions
    if limits.rate is None:
        return requests / pace, partitions
    seconds = 0.0
    while True:
        answered = min(pace, used * limits.rate * partitions)
        is_split = pace >= SPLIT_LOAD * limits.rate * partitions
        if not is_split or requests <= answered * limits.split_seconds:
            return seconds + requests / answered, partitions
        requests -= answered * limits.split_seconds
        seconds += limits.split_seconds
        partitions *= 2


def _lost_seconds(fleet: Fleet, limits: StoreLimits, working: float) -> float:
    """Seconds that a failure costs: the work that is done again, and the takeover."""
    if fleet.keeps_disk:
        again = fleet.checkpoint_seconds / 2
    else:
        again = fleet.part_pages * limits.mean_latency / 2
    return min(again, working / 2) + fleet.takeover_seconds


def _with_failures(fleet: Fleet, working: float, lost: float) -> float:
    """Seconds until the last machine has done its share."""
    rate = fleet.failures_per_hour / 3600
    if rate * lost >= 1:
        return math.inf
    busy = working / (1 - rate * lost)
    if fleet.division is Division.JOIN:
        return busy + lost * (1 - math.exp(-rate * fleet.workers * lost))
    return working + lost * expected_most(rate * busy, fleet.workers)
