"""The sentence of a run is right, whatever limits it."""

import pytest

from inventory_assets.inventory.runs.cause import Cause, limiting_cause
from inventory_assets.inventory.runs.figures import MAX_BUCKETS, TimeSpent
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets_tests.fakes.limited_store import StoreLimits
from inventory_assets_tests.inventory.runs.samples import figures
from inventory_assets_tests.inventory.runs.simulated_runs import SERIAL, Situation, simulated_run

SITUATIONS = {
    "a short listing": (Situation(pages=3), Cause.NOTHING),
    "a healthy store, and few requests allowed": (Situation(concurrency=8), Cause.LIMIT),
    "a distant but healthy store": (
        Situation(StoreLimits(latency=0.4), concurrency=32, pages=3000),
        Cause.LIMIT,
    ),
    "a slow store": (Situation(StoreLimits(latency=1.5)), Cause.LATENCY),
    "a store that works on four pages at once": (
        Situation(StoreLimits(slots=4), concurrency=64, pages=3000),
        Cause.LATENCY,
    ),
    "throttling": (
        Situation(StoreLimits(rate=30), concurrency=64, pages=3000),
        Cause.THROTTLING,
    ),
    "throttling under a fixed limit": (
        Situation(StoreLimits(rate=30), concurrency=64, policy=PolicyName.FIXED),
        Cause.THROTTLING,
    ),
    "an endpoint that is unreachable for a while": (
        Situation(StoreLimits(unreachable=(2, 60))),
        Cause.ERRORS,
    ),
    "a process that computes": (Situation(computes=0.02), Cause.CPU),
    "a process that waits for a free core": (
        Situation(computes=0.004, waits_for_core=0.02),
        Cause.CPU,
    ),
    "a disk that blocks": (Situation(computes=0.002, blocks=0.03), Cause.WRITING),
    "a store that can only be listed page by page": (
        Situation(profile=SERIAL, pages=200),
        Cause.SERIAL_STORE,
    ),
    "keys that are not split": (Situation(can_split=False, pages=200), Cause.SERIAL_STORE),
    "stray 503s, while the disk blocks": (
        Situation(StoreLimits(refused=0.01), blocks=0.02),
        Cause.WRITING,
    ),
    "throttling by a slow store": (
        Situation(StoreLimits(latency=1.0, rate=5), concurrency=64),
        Cause.THROTTLING,
    ),
    "a process that computes, and a limit that is reached": (
        Situation(computes=0.009, concurrency=16),
        Cause.CPU,
    ),
    "a serial store that is unreachable for a moment": (
        Situation(StoreLimits(unreachable=(2, 4)), profile=SERIAL, pages=300),
        Cause.SERIAL_STORE,
    ),
}


@pytest.mark.parametrize(("situation", "cause"), SITUATIONS.values(), ids=SITUATIONS)
def test_the_cause_is_what_was_injected(situation: Situation, cause: Cause) -> None:
    run = simulated_run(situation)
    found = limiting_cause(run)
    assert found.cause is cause, found.sentence
    if cause is not Cause.NOTHING:
        assert found.share > 0.4
    assert run.spent.total == pytest.approx(run.seconds, rel=0.02, abs=0.02)
    assert len(run.timeline.requests) <= MAX_BUCKETS


def test_a_shard_that_waited_for_the_throttling_of_others_says_so() -> None:
    spent = TimeSpent(throttled=20.0)
    found = limiting_cause(figures(faults={}, spent=spent))
    assert found.cause is Cause.THROTTLING
    assert found.sentence.endswith("because of it; other shards were throttled.")
    found = limiting_cause(figures(faults={"throttled": 2}, spent=spent))
    assert found.sentence.endswith("; 2 of 12 requests were throttled.")
