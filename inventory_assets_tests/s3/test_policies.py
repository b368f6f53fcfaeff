import itertools
import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.s3.concurrency.policies import (
    INITIAL,
    PID_HIGHEST,
    PID_LOWEST,
    Adaptive,
    LimitPolicy,
    Pid,
    PolicyName,
    open_policy,
)
from inventory_assets.s3.concurrency.request_outcome import (
    BACKOFF_RATIO,
    FORGIVEN_LOSSES,
    SECONDS_BETWEEN_BACKOFFS,
    Outcome,
    Sample,
)
from inventory_assets_tests.fakes.simulated_store import (
    SCENARIOS,
    Conditions,
    MillisecondPid,
    Scenario,
    Trace,
    best_fixed_goodput,
    simulate,
)

SEEDS = (1, 2)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SETTLED = [
    pytest.param(scenario, seed, start, end, conditions, id=f"{scenario.name}-{start:.0f}-{seed}")
    for scenario in SCENARIOS
    for start, end, conditions in scenario.settled()
    for seed in SEEDS
]
settled = pytest.mark.parametrize(("scenario", "seed", "start", "end", "conditions"), SETTLED)
learning = pytest.mark.parametrize("policy", [PolicyName.ADAPTIVE, PolicyName.PID])


@cache
def _played(name: str, policy: PolicyName, seed: int) -> Trace:
    scenario = BY_NAME[name]
    return simulate(scenario, open_policy(policy, scenario.maximum), seed)


def _sample(at: float, outcome: Outcome, *, latency: float = 0.01, in_flight: int = 16) -> Sample:
    return Sample(at, latency, outcome, in_flight)


def _limits(of: LimitPolicy, samples: list[Sample]) -> list[int]:
    return [of.on_sample(sample) for sample in samples]


def _burst(outcome: Outcome, at: float = 10.0) -> list[Sample]:
    return [_sample(at + n / 1000, outcome) for n in range(FORGIVEN_LOSSES + 1)]


# The default policy, against the best that was possible


@settled
def test_goodput_is_at_least_nine_tenths_of_the_optimum(
    scenario: Scenario, seed: int, start: float, end: float, conditions: Conditions
) -> None:
    goodput = _played(scenario.name, PolicyName.ADAPTIVE, seed).goodput(start, end)
    assert goodput >= 0.9 * conditions.best_goodput(scenario.maximum)


@settled
def test_the_limit_does_not_oscillate(
    scenario: Scenario, seed: int, start: float, end: float, conditions: Conditions
) -> None:
    del conditions
    assert _played(scenario.name, PolicyName.ADAPTIVE, seed).steadiness(start, end) >= 0.8


THROTTLED_FOR_LONG = {
    "503 above 175 requests/s",
    "503 above 275 requests/s",
    "503 above 30 requests/s",
    "throttling ends",
    "10 seconds of timeouts, then well",
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", BY_NAME)
def test_back_offs_recur_only_while_throttled_and_are_a_second_apart(name: str, seed: int) -> None:
    back_offs = _played(name, PolicyName.ADAPTIVE, seed).back_offs
    pauses = [later - earlier for earlier, later in itertools.pairwise(back_offs)]
    assert bool(pauses) == (name in THROTTLED_FOR_LONG)
    assert min(pauses, default=math.inf) >= SECONDS_BETWEEN_BACKOFFS


@pytest.mark.parametrize(
    "name", ["knee at 20 workers", "503 above 175 requests/s", "healthy, 400 ms (far away)"]
)
def test_the_optimum_is_what_the_best_fixed_limit_reaches_with_hindsight(name: str) -> None:
    scenario = BY_NAME[name]
    optimum = scenario.conditions[0].best_goodput(scenario.maximum)
    assert best_fixed_goodput(scenario, seed=1) == pytest.approx(optimum, rel=0.02)


@pytest.mark.parametrize("policy", PolicyName)
def test_a_replay_is_identical_for_each_seed(policy: PolicyName) -> None:
    scenario = BY_NAME["503 above 275 requests/s"]
    again = simulate(scenario, open_policy(policy, scenario.maximum), seed=1)
    assert again == _played(scenario.name, policy, 1)
    assert again.ends != _played(scenario.name, policy, 2).ends


@pytest.mark.parametrize(
    ("maximum", "latency", "seconds"), [(64, 0.1, 2), (64, 0.03, 1), (256, 0.1, 4), (64, 1.0, 10)]
)
def test_a_healthy_store_soon_gets_all_that_is_allowed(
    maximum: int, latency: float, seconds: float
) -> None:
    scenario = Scenario("healthy", [Conditions(seconds, latency=latency)], maximum)
    for seed in range(10):
        trace = simulate(scenario, Adaptive(maximum), seed)
        assert trace.limits[-1][1] == maximum


def test_a_throttled_store_gets_few_more_requests_than_it_serves() -> None:
    for name, rate in [("503 above 175 requests/s", 175), ("503 above 275 requests/s", 275)]:
        scenario = BY_NAME[name]
        ((start, end, _),) = scenario.settled()
        refused = _played(name, PolicyName.ADAPTIVE, 1).count(Outcome.THROTTLED, start, end)
        assert refused < 0.01 * rate * (end - start)
        assert (
            _played(name, PolicyName.FIXED, 1).count(Outcome.THROTTLED, start, end) > 40 * refused
        )


def test_beyond_a_knee_the_limit_stays_near_it() -> None:
    scenario = BY_NAME["knee at 20 workers"]
    ((start, end, _),) = scenario.settled()
    for seed in SEEDS:
        assert 18 <= _played(scenario.name, PolicyName.ADAPTIVE, seed).mean_limit(start, end) <= 33


# The response of a policy to samples


@learning
def test_throttling_and_timeouts_reduce_the_limit_at_once(policy: PolicyName) -> None:
    for outcome in (Outcome.THROTTLED, Outcome.TIMED_OUT):
        limits = _limits(open_policy(policy, 64), _burst(outcome))
        assert limits == [*[INITIAL] * FORGIVEN_LOSSES, int(INITIAL * BACKOFF_RATIO)]


@learning
def test_requests_sent_before_a_back_off_cause_no_further_one(policy: PolicyName) -> None:
    subject = open_policy(policy, 64)
    cut = _limits(subject, _burst(Outcome.TIMED_OUT))[-1]
    late = [_sample(13 + n / 1000, Outcome.TIMED_OUT, latency=5) for n in range(50)]
    assert _limits(subject, late)[-1] == cut
    assert _limits(subject, _burst(Outcome.TIMED_OUT, at=19))[-1] == int(
        INITIAL * BACKOFF_RATIO * BACKOFF_RATIO
    )


@learning
def test_resets_do_not_change_the_limit(policy: PolicyName) -> None:
    resets = [_sample(n / 100, Outcome.FAILED) for n in range(2_000)]
    assert set(_limits(open_policy(policy, 64), resets)) == {INITIAL}


@learning
def test_an_unused_limit_does_not_grow(policy: PolicyName) -> None:
    idle = [_sample(n / 100, Outcome.SUCCEEDED, in_flight=8) for n in range(5_000)]
    busy = [_sample(n / 100, Outcome.SUCCEEDED, in_flight=64) for n in range(5_000)]
    assert set(_limits(open_policy(policy, 64), idle)) == {INITIAL}
    assert max(_limits(open_policy(policy, 64), busy)) > INITIAL


def test_after_a_back_off_the_limit_returns_to_just_below_its_old_value() -> None:
    scenario = Scenario("a blow", [Conditions(10), Conditions(1.2, rate=1), Conditions(4)])
    trace = simulate(scenario, Adaptive(64), seed=1)
    limits = [limit for _, limit in trace.limits_between(trace.back_offs[0], 12)]
    assert len(limits) > 1
    assert limits == sorted(limits, reverse=True)
    calm = Scenario("then calm", [Conditions(10), Conditions(0.5, rate=1), Conditions(9)])
    after = simulate(calm, Adaptive(64), seed=1)
    assert len(after.back_offs) == 1
    assert after.extremes(after.back_offs[0] + 0.001, 19) == (int(64 * BACKOFF_RATIO), 60)


def test_growth_from_one_request_that_does_not_pay_returns_to_one() -> None:
    subject = Adaptive(64)
    for second in range(20):
        _limits(subject, _burst(Outcome.THROTTLED, at=2 * second + 1))
    assert subject.limit == 1
    seen = {  # always 50 a second
        subject.on_sample(_sample(50 + n / 50, Outcome.SUCCEEDED, in_flight=subject.limit))
        for n in range(30_000)
    }
    assert seen == {1, 2}


SAMPLES = st.lists(
    st.builds(
        lambda gap, latency, outcome, in_flight: (gap, latency, outcome, in_flight),
        st.floats(0, 2),
        st.floats(0, 60),
        st.sampled_from(Outcome),
        st.integers(1, 300),
    ),
    max_size=400,
)


@learning
@given(samples=SAMPLES, repeat=st.integers(1, 5), maximum=st.integers(1, 300))
def test_the_limit_stays_between_one_and_the_maximum_whatever_happens(
    policy: PolicyName, samples: list[tuple[float, float, Outcome, int]], repeat: int, maximum: int
) -> None:
    subject = open_policy(policy, maximum)
    assert 1 <= subject.limit <= maximum
    at = 0.0
    for gap, latency, outcome, in_flight in samples * repeat:
        at += gap
        limit = subject.on_sample(Sample(at, latency, outcome, in_flight))
        assert 1 <= limit <= maximum
        assert limit == subject.limit


def test_a_fixed_limit_is_the_maximum() -> None:
    assert set(_limits(open_policy("fixed", 48), _burst(Outcome.THROTTLED))) == {48}


def test_an_unknown_policy_or_no_request_at_all_is_rejected() -> None:
    with pytest.raises(ValueError, match="no policy 'fast'; choose one of adaptive, pid, fixed"):
        open_policy("fast", 64)
    with pytest.raises(ValueError, match="at most 0 requests in flight"):
        open_policy("adaptive", 0)


# The PID: what it does, and its known weaknesses


def test_the_pid_holds_its_target_where_latency_follows_load() -> None:
    scenario = Scenario("knee", [Conditions(120, slots=64)], maximum=256)
    trace = simulate(scenario, Pid(256), seed=1)
    assert trace.steadiness(20, 120) >= 0.8
    assert 64 <= trace.mean_limit(20, 120) <= 128


def test_the_pid_stays_within_its_clamp() -> None:
    near = Scenario("near", [Conditions(15, latency=0.05)], maximum=400)
    assert simulate(near, Pid(400), seed=1).limits[-1][1] == PID_HIGHEST
    far = Scenario("far", [Conditions(60, latency=1)], maximum=400)
    assert simulate(far, Pid(400), seed=1).limits[-1][1] == PID_LOWEST


def test_the_pid_does_not_wind_up_while_it_is_clamped() -> None:
    scenario = Scenario("step", [Conditions(60, latency=0.05), Conditions(10, latency=0.3)])
    trace = simulate(scenario, Pid(64), seed=1)
    assert trace.limits_between(64, 65)[-1][1] == PID_LOWEST


def test_the_pid_starves_a_healthy_bucket_that_is_far_away() -> None:
    scenario = BY_NAME["healthy, 400 ms (far away)"]
    ((start, end, conditions),) = scenario.settled()
    pid = _played(scenario.name, PolicyName.PID, 1).goodput(start, end)
    assert pid < 0.1 * conditions.best_goodput(scenario.maximum)


def test_the_pid_reduces_all_requests_for_one_slow_prefix() -> None:
    scenario = BY_NAME["a slow prefix: 1 worker in 4, 10 times"]
    ((start, end, conditions),) = scenario.settled()
    pid = _played(scenario.name, PolicyName.PID, 1).goodput(start, end)
    assert pid < 0.1 * conditions.best_goodput(scenario.maximum)


def test_the_pid_with_raw_milliseconds_oscillates_between_its_clamps() -> None:
    scenario = Scenario("knee", [Conditions(180, slots=64)], maximum=256)
    trace = simulate(scenario, MillisecondPid(256), seed=1)
    for start in (60, 120):
        limits = [limit for _, limit in trace.limits_between(start, start + 60)]
        assert limits.count(PID_LOWEST) >= 10
        assert limits.count(PID_HIGHEST) >= 10
    assert trace.steadiness(60, 180) < 0.8
    assert trace.goodput(60, 180) < 0.7 * scenario.conditions[0].best_goodput(256)
