"""A slow reference implementation of the load source's keys, to test the C program."""

import datetime as dt
import functools
import itertools
import math
from collections.abc import Iterator

import zstandard

from benchmarks.load_source import DEMO_NAMES

BITS = 2**64
HOURS = 730 * 24
SHARES = [12, 1, 40, 6, 25, 60, 3, 700, 15, 1, 8, 30, 2, 10, 1, 50, 7, 20, 4, 5]
"""Thousandths of the keys under each top-level prefix of `skewed`."""


def mixed(bits: int) -> int:
    bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 % BITS
    bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB % BITS
    return bits ^ (bits >> 31)


def random_of(seed: int, number: int, stream: int) -> int:
    return mixed((mixed(seed) + (number * 8 + stream + 1) * 0x9E3779B97F4A7C15) % BITS)


@functools.cache
def keys_of(shape: str, count: int, seed: int = 0) -> list[str]:
    """All keys of a load source, in their order."""
    shapes = {"flat": _flat, "deep": _deep, "skewed": _skewed, "real": _real}
    return list(itertools.islice(shapes[shape](count, seed), count))


def _spread(seed: int, number: int, within: int, held: int) -> int:
    step = (BITS - 1) // held
    return within * step + (random_of(seed, number, 0) * step >> 64)


def _flat(count: int, seed: int) -> Iterator[str]:
    for number in range(count):
        upper = _spread(seed, number, number, count)
        yield f"data/{upper:016x}{random_of(seed, number, 1):016x}"


def _deep(count: int, _seed: int) -> Iterator[str]:
    an_hour = math.ceil(count / HOURS)
    parts = math.ceil(math.sqrt(an_hour))
    hosts = math.ceil(an_hour / parts)
    begin = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    for hour in range(HOURS):
        moment = begin + dt.timedelta(hours=hour)
        for host, part in itertools.product(range(hosts), range(parts)):
            yield f"logs/{moment:%Y/%m/%d/%H}/host-{host:04}/part-{part:05}.json.gz"


def _skewed(count: int, seed: int) -> Iterator[str]:
    ends = [count * share // 1000 for share in itertools.accumulate(SHARES)]
    for tenant, (start, end) in enumerate(itertools.pairwise([0, *ends])):
        for number in range(start, end):
            digits = f"{_spread(seed, number, number - start, end - start):016x}"
            salt = random_of(seed, number, 1) >> 32
            yield f"tenant-{tenant:02}/{digits[:2]}/{digits[2:]}-{salt:08x}.parquet"


def _real(_count: int, _seed: int) -> Iterator[str]:
    names = zstandard.decompress(DEMO_NAMES.read_bytes()).decode().removesuffix("\n").split("\n")
    for generation in itertools.count():
        yield from (f"{generation:06}/{name}" for name in names)
