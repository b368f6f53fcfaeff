"""Compare the policies for requests in flight, in the simulation of the tests.

`python -m benchmarks.control` prints a table; `--images docs/images` draws limits over time, with
the Python that `make bench` installs.
"""

import argparse
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.contenders import PEERS
from benchmarks.load_source import HERE
from inventory_assets.s3.concurrency.policies import LimitPolicy, PolicyName, open_policy
from inventory_assets.s3.concurrency.request_outcome import Outcome
from inventory_assets_tests.fakes.simulated_store import (
    SCENARIOS,
    Conditions,
    MillisecondPid,
    Scenario,
    Trace,
    simulate,
)

SEEDS = (1, 2, 3)
Policies = Mapping[str, Callable[[int], LimitPolicy]]
POLICIES: Policies = {str(policy): partial(open_policy, policy) for policy in PolicyName}
IN_MILLISECONDS = "pid, raw milliseconds"
DRAWN = (
    "503 above 175 requests/s",
    "knee at 20 workers",
    "latency steps 100, 300, 100 ms",
    "a slow prefix: 1 worker in 4, 10 times",
    "throttling ends",
    "10 seconds of timeouts, then well",
)
WITH_AND_WITHOUT = Scenario("knee at 64 workers", [Conditions(120, slots=64)], maximum=256)


def row(
    name: str, traces: Sequence[Trace], maximum: int, start: float, end: float, now: Conditions
) -> str:
    """The settled results of one policy on one store, averaged over the seeds."""
    best = now.best_goodput(maximum)
    goodput = fmean(trace.goodput(start, end) for trace in traces) / best
    sent = sum(trace.count(outcome, start, end) for trace in traces for outcome in Outcome)
    refused = sum(trace.count(Outcome.THROTTLED, start, end) for trace in traces) / sent
    back_offs = fmean(
        sum(start <= at < end for at in trace.back_offs) / (end - start) for trace in traces
    )
    lost = sum(start <= at < end for trace in traces for at in trace.given_up) / len(traces)
    mean = fmean(trace.mean_limit(start, end) for trace in traces)
    extremes = [trace.extremes(start, end) for trace in traces]
    least, most = min(low for low, _ in extremes), max(high for _, high in extremes)
    steady = fmean(trace.steadiness(start, end) for trace in traces)
    return (
        f"| {name} | {goodput:.0%} | {refused:.1%} | {lost:.0f} | {back_offs:.2f} "
        f"| {mean:.0f} ({least} to {most}) | {steady:.0%} |"
    )


def print_table(scenarios: Sequence[Scenario], policies: Policies) -> None:
    """One row for each policy and each of the conditions that lasted long enough."""
    print(
        "| store | policy | goodput, of the optimum | 503s, of the requests | given up "
        "| back_offs/s | limit, mean (least to most) | steady |\n|---|---|--:|--:|--:|--:|--:|--:|"
    )
    for scenario in scenarios:
        played = {
            name: [simulate(scenario, policy(scenario.maximum), seed) for seed in SEEDS]
            for name, policy in policies.items()
        }
        for start, end, now in scenario.settled():
            since = f", {start:.0f} to {end:.0f} s" if len(scenario.conditions) > 1 else ""
            for name, traces in played.items():
                rest = row(name, traces, scenario.maximum, start, end, now)
                print(f"| {scenario.name}{since} {rest}")


def draw(image: Path, scenarios: Sequence[Scenario], names: Sequence[str]) -> None:
    """The limits over time, one picture for each scenario."""
    policies = {**POLICIES, IN_MILLISECONDS: MillisecondPid}
    panels = [
        {
            "title": scenario.name,
            "seconds": scenario.spans()[-1][1],
            "lines": {
                name: simulate(scenario, policies[name](scenario.maximum), SEEDS[0]).limits
                for name in names
            },
        }
        for scenario in scenarios
    ]
    plot = [str(PEERS / "bin" / "python"), str(HERE / "control_plot.py"), str(image)]
    subprocess.run(plot, input=json.dumps(panels), text=True, check=True)
    print(image)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and draw."""
    parser = argparse.ArgumentParser(prog="benchmarks.control", description=__doc__)
    parser.add_argument("--images", type=Path, help="a folder for the SVG files")
    options = parser.parse_args(arguments)
    print_table(SCENARIOS, POLICIES)
    print()
    print_table(
        [WITH_AND_WITHOUT],
        {"pid": POLICIES["pid"], IN_MILLISECONDS: MillisecondPid},
    )
    if options.images:
        if not PEERS.exists():
            raise SystemExit("nothing to draw with is installed: `make bench` does it")
        drawn = [scenario for scenario in SCENARIOS if scenario.name in DRAWN]
        draw(options.images / "control.svg", drawn, list(POLICIES))
        both = ["pid", IN_MILLISECONDS]
        draw(options.images / "control_pid.svg", [WITH_AND_WITHOUT], both)


if __name__ == "__main__":
    main()
