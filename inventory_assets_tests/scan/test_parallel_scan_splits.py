import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.in_flight import InFlight
from benchmarks.load_source import SHAPES
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.limiter import ConcurrencyLimiter
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.concurrency.request_outcome import Sample
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.engine import page_queue
from inventory_assets.scan.engine.events import (
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.validation.range_evidence import RangeEvidence
from inventory_assets_tests.benchmarks.keys import keys_of
from inventory_assets_tests.fakes.distant_bucket import LATENCY, DistantBucket
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time
from inventory_assets_tests.key_spaces import key_sets


@pytest.fixture(scope="module", autouse=True)
def virtual_time() -> Iterator[None]:
    """Run scans on a virtual clock, with a short wait for full batches, as there are few pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page_queue, "BATCH_WAIT_SECONDS", 0.0005)
        scans_run_on_virtual_time(patch)
        yield


@dataclass(slots=True)
class Told:
    """The events of a scan of one job.

    Attributes:
        keys: Number of a range to its keys.
        evidence: Number of a range to its evidence.
        splits: Pairs of the numbers of a range and of the one split off.
    """

    keys: dict[int, list[str]]
    evidence: dict[int, RangeEvidence] = field(default_factory=dict)
    splits: list[tuple[int, int]] = field(default_factory=list)

    def in_order(self) -> list[tuple[RangeEvidence, list[str]]]:
        found = [(evidence, self.keys[index]) for index, evidence in self.evidence.items()]
        return sorted(found, key=lambda pair: pair[0].key_range)


def scan(
    lister: PageSource, shard: Shard, stats: RequestStats | None = None, cuts: Sequence[str] = ()
) -> Told:
    """List a shard; check that the events of each range end with its completion."""
    job = ListingJob(shard.prefix, shard.ranges, stats or RequestStats(), initial_splits=cuts)
    told = Told({index: [] for index in range(len(shard.ranges))})
    for event in ParallelScan(lister, [job]):
        match event:
            case ObjectsListed(index=index, objects=objects):
                assert objects.num_rows
                assert index not in told.evidence, "objects after the end of their range"
                told.keys[index] += objects.column("key").to_pylist()
            case RangeSplit(index=index, upper=upper, boundary=at):
                assert index in told.keys
                assert all(key <= at for key in told.keys[index])
                assert index not in told.evidence, "a range was split after its end"
                assert upper not in told.keys, "the number of a range was given twice"
                told.keys[upper] = []
                told.splits.append((index, upper))
            case RangeCompleted(index=index, evidence=evidence):
                assert index in told.keys
                assert index not in told.evidence, "a range ended twice"
                told.evidence[index] = evidence
            case JobFailed(error=error):
                raise error
    return told


def check(told: Told, shard: Shard, keys: Iterable[str]) -> None:
    """Check that each key was listed once and in order, that the ranges tile the shard, and the
    evidence."""
    in_order = told.in_order()
    assert told.evidence.keys() == told.keys.keys()
    assert [key for _, found in in_order for key in found] == sorted(
        key for key in keys if shard.covers(key)
    )
    assert tiling_violation([evidence.key_range for evidence, _ in in_order], shard.ranges) is None
    for evidence, found in in_order:
        assert all(left < right for left, right in pairwise(found))
        assert all(key in evidence.key_range for key in found)
        assert evidence.rows == len(found)
        assert evidence.first_key == (found[0] if found else None)
        assert evidence.last_key == (found[-1] if found else None)
        assert evidence.pages >= 1


# Correctness, for any key space and any errors.


class Unsteady(ModelS3):
    """Responds with random delays, and damages some pages such that their ends look complete."""

    def __init__(
        self, keys: Iterable[str], page_size: int, in_flight: int, seed: int, damaged: float
    ) -> None:
        super().__init__(keys, page_size)
        self.bucket_config = BucketConfig("model", max_in_flight=in_flight)
        self.retry = RetryPolicy(base_seconds=0, malformed_attempts=1000)
        self._chances = random.Random(seed)  # noqa: S311 - a repeatable test
        self._damaged = damaged

    def seconds(self, request: PageRequest) -> float:  # noqa: ARG002
        return self._chances.choice((0, 0, 0, 0.0002, 0.001))

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        received = await super().fetch_raw_page(request, stats, body)
        if self._chances.random() >= self._damaged:
            return received
        damage = self._chances.choice((_garble, _lose_an_object))
        return replace(received, body=damage(received.body))


def _garble(body: bytes | bytearray) -> bytes | bytearray:
    return body.replace(b"<Size>", b"<Size>&", 1)


def _lose_an_object(body: bytes | bytearray) -> bytes | bytearray:
    head, _, rest = body.rpartition(b"<Contents>")
    return head + rest.partition(b"</Contents>")[2] if head else b""


@given(
    keys=key_sets(),
    page_size=st.integers(1, 5),
    in_flight=st.integers(1, 8),
    damaged=st.sampled_from([0.0, 0.0, 0.1, 0.3]),
    seed=st.integers(0, 9999),
    data=st.data(),
)
@settings(max_examples=60)
def test_every_key_is_found_once_and_in_order_however_ranges_are_split(
    keys: list[str],
    page_size: int,
    in_flight: int,
    damaged: float,
    seed: int,
    data: st.DataObject,
) -> None:
    heads = st.sampled_from(sorted({key[:size] for key in keys for size in (1, 2, 4)} | {"a"}))
    shard = make_shard(data.draw(st.just("") | heads), data.draw(st.lists(heads, max_size=3)))
    lister = Unsteady(keys, page_size, in_flight, seed, damaged)
    stats = RequestStats()
    cuts = sorted(set(data.draw(st.lists(heads | st.sampled_from(keys or ["a"]), max_size=4))))
    told = scan(lister, shard, stats, cuts)
    check(told, shard, keys)
    assert sum(evidence.pages for evidence in told.evidence.values()) <= stats.requests
    if in_flight == 1:
        assert len(told.splits) <= len(cuts)


def test_a_single_worker_splits_nothing() -> None:
    keys = [f"{number:04}" for number in range(500)]
    shard = make_shard("", [])
    told = scan(Unsteady(keys, 5, 1, 0, 0), shard)
    check(told, shard, keys)
    assert told.splits == []


def test_the_ranges_split_off_are_numbered_in_order() -> None:
    keys = [f"{letter}/{number:03}" for letter in "abcdefghijkl" for number in range(100)]
    shard = make_shard("", ["e/"])
    told = scan(Unsteady(keys, 5, 8, 0, 0), shard)
    check(told, shard, keys)
    assert len(told.splits) >= 7
    assert [upper for _, upper in told.splits] == list(range(2, 2 + len(told.splits)))


def test_a_split_leaves_the_lower_part_to_the_range_that_was_split() -> None:
    keys = [sha256(str(number).encode()).hexdigest() for number in range(1000)]
    shard = make_shard("", [])
    told = scan(Unsteady(keys, 10, 8, 0, 0), shard)
    check(told, shard, keys)
    assert told.splits
    for index, upper in told.splits:
        assert told.evidence[index].key_range.until <= told.evidence[upper].key_range.after


def test_a_page_damaged_while_its_range_is_being_split_does_no_harm() -> None:
    """The range is restarted, and may be split again, while the first split sends requests."""
    keys = [f"{letter}/{number:03}" for letter in "abcdefgh" for number in range(40)]
    for seed in range(4):
        lister = _SlowToShowFolders(keys, 5, 8, seed, 0.3)
        shard = make_shard("", [])
        told = scan(lister, shard)
        check(told, shard, keys)
        assert told.splits


class _SlowToShowFolders(Unsteady):
    def seconds(self, request: PageRequest) -> float:
        if request.delimiter:
            return self._chances.choice((0.001, 0.005, 0.01))
        return super().seconds(request)


# Efficiency.

PAGE_SIZE = 100
IN_FLIGHT = 8
KEYS = 500_000


def unused(in_flight: InFlight, number: float) -> tuple[float, float, float]:
    """Seconds with fewer than `number` requests in flight: at the start, in between, at the end."""
    reached = [moment for moment, under_way in in_flight.changes if under_way >= number]
    first, last = reached[0], reached[-1]
    below = in_flight.seconds_below(number)
    tail = in_flight.ended - last
    return first, below - first - tail, tail


@pytest.mark.parametrize("shape", SHAPES)
def test_as_many_requests_are_in_flight_as_allowed_and_few_are_wasted(shape: str) -> None:
    bucket = DistantBucket(keys_of(shape, KEYS), IN_FLIGHT)
    told = Counter[type]()
    for event in ParallelScan(bucket, [ListingJob("", [KeyRange.of_prefix("")])]):
        told[type(event)] += event.objects.num_rows if isinstance(event, ObjectsListed) else 1
    assert told[ObjectsListed] == KEYS
    assert len(bucket.requests) <= 1.035 * KEYS / 1000
    changes = bucket.in_flight_changes
    in_flight = InFlight(0.0, changes[-1][0], changes)
    ramp, between, tail = unused(in_flight, 0.9 * IN_FLIGHT - 1)
    assert ramp <= 1
    assert between <= 0.5
    assert tail <= 0.8
    assert in_flight.seconds <= 1.2 * KEYS / 1000 * LATENCY / IN_FLIGHT


@pytest.mark.parametrize("count", [0, 1, 2, PAGE_SIZE])
def test_keys_that_fit_into_a_page_take_two_requests(count: int) -> None:
    keys = [f"a/{number:03}" for number in range(count)]
    bucket = DistantBucket(keys, IN_FLIGHT, page_size=PAGE_SIZE)
    check(scan(bucket, make_shard("", [])), make_shard("", []), keys)
    assert len(bucket.requests) == 2


def test_initial_splits_are_listed_concurrently_from_the_first_request_on() -> None:
    keys = [f"data/{number:05}" for number in range(20_000)]
    bucket = DistantBucket(keys, 16, page_size=PAGE_SIZE, policy=PolicyName.FIXED)
    shard = make_shard("", [])
    told = scan(bucket, shard, cuts=keys[1250::1250])
    check(told, shard, keys)
    assert len(told.splits) == 15
    assert [request.start_after for request in bucket.requests[:16]] == ["", *keys[1250::1250]]
    assert len(bucket.requests) <= 216 + 16


class _Stepped:
    """Allows 4 requests in flight, and 16 once a hundred have ended."""

    def __init__(self) -> None:
        self._ended = 0

    @property
    def limit(self) -> int:
        return 16 if self._ended >= 100 else 4

    def on_sample(self, sample: Sample) -> int:  # noqa: ARG002
        self._ended += 1
        return self.limit


def test_no_more_ranges_are_open_than_requests_may_be_in_flight() -> None:
    """More would wait for each other, each with an open file and rows in memory."""
    keys = [sha256(str(number).encode()).hexdigest() for number in range(30_000)]
    bucket = DistantBucket(sorted(keys), 64, page_size=PAGE_SIZE)
    bucket._limiter = ConcurrencyLimiter(_Stepped())
    ranges = 1
    most = Counter[bool]()
    for event in ParallelScan(bucket, [ListingJob("", [KeyRange.of_prefix("")])]):
        ranges += isinstance(event, RangeSplit)
        ranges -= isinstance(event, RangeCompleted)
        is_later = len(bucket.requests) > 100
        most[is_later] = max(most[is_later], ranges)
    assert most == {False: 4, True: 16}
