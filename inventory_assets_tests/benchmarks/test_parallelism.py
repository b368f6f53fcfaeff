import shutil
from collections.abc import Sequence
from contextlib import closing

import pytest

from benchmarks.in_flight import InFlight, ObservedLimiter
from benchmarks.load_source import BUCKET, SHAPES, LoadSource
from benchmarks.parallelism import (
    STRATEGIES,
    Strategy,
    UnsplitScan,
    by_prefixes,
    folders_and_the_rest,
    list_all,
    main,
    measured,
    the_whole,
)
from benchmarks.processes import ProcessFailed
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.parallel_scan import ParallelScan
from inventory_assets.scan.keyspace.key_range import KeyRange

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

KEYS = 12_000
ALLOWED = 8


class SplitAllTheSame(UnsplitScan):
    def __init__(self, lister: PageSource, jobs: Sequence[ListingJob]) -> None:
        ParallelScan.__init__(self, lister, jobs)


def bucket_config_of(source: LoadSource) -> BucketConfig:
    return BucketConfig(
        BUCKET,
        source.url,
        region="us-east-1",
        access_key="any",
        secret_key="any",
        addressing_style="path",
        max_in_flight=ALLOWED,
    )


def test_the_time_in_flight_is_reported_by_hand_made_changes() -> None:
    changes = [(11.0, 1), (12.0, 2), (15.0, 1), (15.0, 2), (16.0, 1), (18.0, 0)]
    in_flight = InFlight(10.0, 20.0, changes)
    assert in_flight.seconds == 10
    assert in_flight.mean == (1 * 1 + 4 * 2 + 2 * 1) / 10
    assert in_flight.seconds_until(2) == 2
    assert in_flight.seconds_until(3) is None
    assert in_flight.seconds_below(2) == 6
    assert in_flight.seconds_below(1) == 3


@needs_compiler
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_every_strategy_finds_every_key_and_tells_sane_figures(
    strategy: Strategy, shape: str
) -> None:
    figures = measured(strategy, shape, 1.0, KEYS, ALLOWED)
    assert figures.requests >= KEYS / 1000
    assert 0 < figures.in_flight.mean <= ALLOWED
    assert max(number for _, number in figures.in_flight.changes) <= ALLOWED
    assert len(figures.in_flight.changes) == 2 * figures.requests
    assert figures.in_flight.changes[-1][1] == 0
    assert 1 <= figures.skew <= ALLOWED
    assert 0.001 <= figures.longest <= figures.in_flight.seconds
    assert figures.cpu > 0


@needs_compiler
def test_a_single_chain_has_one_request_in_flight_and_one_worker() -> None:
    chain = next(strategy for strategy in STRATEGIES if strategy.name == "chain")
    figures = measured(chain, "flat", 1.0, KEYS, ALLOWED)
    assert {number for _, number in figures.in_flight.changes} == {0, 1}
    assert figures.requests == KEYS / 1000 + 1, "one confirms the end"
    # The request that confirms the end may be another worker's.
    assert figures.skew in (ALLOWED, pytest.approx(ALLOWED * 12 / 13))
    assert figures.in_flight.seconds_until(2) is None


@needs_compiler
def test_only_ours_is_split() -> None:
    broken = Strategy("broken", "", 1, the_whole, SplitAllTheSame)
    with pytest.raises(ProcessFailed, match=r"broken on 'flat' keys: a range was split"):
        measured(broken, "flat", 1.0, 50_000, ALLOWED)


@needs_compiler
def test_what_is_not_listed_whole_fails() -> None:
    with (
        LoadSource("skewed", KEYS) as source,
        closing(ListClient(bucket_config_of(source))) as lister,
    ):
        part = ListingJob("tenant-07/", [KeyRange.of_prefix("tenant-07/")])
        with pytest.raises(ValueError, match="do not tile the key space"):
            list_all(UnsplitScan(lister, [part]), KEYS)
        with pytest.raises(ValueError, match=r"found 12,000 of 12,001 keys"):
            list_all(UnsplitScan(lister, by_prefixes(["tenant-07/"])), KEYS + 1)


@needs_compiler
def test_folders_are_as_many_as_there_are_workers_or_the_first_level_of_several() -> None:
    planned = {}
    for shape in SHAPES:
        with (
            LoadSource(shape, KEYS) as source,
            closing(ListClient(bucket_config_of(source))) as lister,
        ):
            *prefixes, _rest = [job.prefix for job in folders_and_the_rest(lister)]
            planned[shape] = prefixes
    assert planned["flat"] == ["data/"]
    assert planned["deep"] == ["logs/2024/", "logs/2025/"]
    assert planned["skewed"] == [f"tenant-{number:02}/" for number in range(20)]
    assert planned["real"] == [f"{number:06}/" for number in range(4)]


@needs_compiler
def test_one_task_after_the_other_uses_a_worker() -> None:
    with LoadSource("flat", 1000) as source:
        observed = ObservedLimiter(bucket_config_of(source))
        lister = ListClient(bucket_config_of(source), limiter=observed)
        with closing(lister):
            for _ in range(ALLOWED + 1):
                lister.list_page_sync(PageRequest(), RequestStats())
        assert observed.sent_by == [2] + [1] * (ALLOWED - 1)
        assert observed.skew == 2 * ALLOWED / (ALLOWED + 1)


@needs_compiler
def test_tables_are_printed_for_each_latency(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--count", "2000", "--latency", "0", "1", "--shapes", "flat", "deep", "--markdown"])
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    rows = [line for line in lines if line.startswith(("| flat |", "| deep |"))]
    assert len(rows) == 2 * 2 * len(STRATEGIES)
    assert {line.count("|") for line in lines if line.startswith("|")} == {13}
    assert [line for line in lines if line.startswith("At ")] == ["At 0 ms:", "At 1 ms:"]
    assert len(printed.err.splitlines()) == len(rows)
