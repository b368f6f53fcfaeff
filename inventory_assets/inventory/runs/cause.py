"""What limited a run: the cause on which it spent most of its time, in one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from inventory_assets.inventory.runs.figures import EXCLUSIVE, RunFigures
from inventory_assets.scan.engine.range_latencies import LATENCY_BANDS
from inventory_assets.units import human_share

SHORT_SECONDS = 2.0
"""A shorter run was not limited by anything that would be worth a change."""


class Cause(StrEnum):
    """What can limit a run."""

    NOTHING = "nothing"
    LATENCY = "latency"
    LIMIT = "the limit"
    THROTTLING = "throttling"
    ERRORS = "transient errors"
    CPU = "CPU"
    WRITING = "writing"
    SERIAL_STORE = "a serial store"


@dataclass(frozen=True, slots=True)
class LimitingCause:
    """What limited a run.

    Attributes:
        cause: The cause.
        share: Its share of the time of the run.
        sentence: A sentence that says it, with the numbers that prove it.
    """

    cause: Cause
    share: float
    sentence: str


def seconds_by_cause(figures: RunFigures) -> dict[Cause, float]:
    """The seconds that a run spent on each cause; those without any are left out.

    At the maximum of requests in flight, more of them would have helped, unless the store was slow:
    then latency is the cause. Below the maximum the policy had found that more do not help.
    """
    spent = figures.spent
    is_slow = (figures.p95 or 0.0) > LATENCY_BANDS[-1]
    by_cause = dict.fromkeys(Cause, 0.0)
    for name in EXCLUSIVE:
        cause = _CAUSES[name]
        if figures.is_serial and cause in (Cause.LIMIT, Cause.LATENCY):
            cause = Cause.SERIAL_STORE
        elif is_slow and cause is Cause.LIMIT:
            cause = Cause.LATENCY
        by_cause[cause] += getattr(spent, name)
    return {cause: round(seconds, 3) for cause, seconds in by_cause.items() if seconds > 0}


_CAUSES = {
    "at_maximum": Cause.LIMIT,
    "at_limit": Cause.LATENCY,
    "throttled": Cause.THROTTLING,
    "retrying": Cause.ERRORS,
    "below_limit": Cause.LATENCY,
    "alone": Cause.SERIAL_STORE,
    "idle": Cause.LATENCY,
    "computing": Cause.CPU,
    "core_wait": Cause.CPU,
    "blocked": Cause.WRITING,
}


def limiting_cause(figures: RunFigures) -> LimitingCause:
    """What limited a run."""
    if figures.seconds < SHORT_SECONDS:
        plural = "" if figures.requests == 1 else "s"
        sentence = (
            f"Nothing limited the listing: it was short, {figures.seconds:.1f} s for "
            f"{figures.requests:,} request{plural}."
        )
        return LimitingCause(Cause.NOTHING, 0.0, sentence)
    by_cause = seconds_by_cause(figures)
    cause = max(by_cause, key=by_cause.__getitem__, default=Cause.LATENCY)
    total = figures.spent.total
    share = by_cause.get(cause, 0.0) / total if total else 0.0
    text = f"{_SUBJECTS[cause]} limited the listing: {_proof(figures, by_cause, cause)}."
    return LimitingCause(cause, share, text)


_SUBJECTS = {
    Cause.LATENCY: "The latency of the store",
    Cause.LIMIT: "The limit of requests in flight",
    Cause.THROTTLING: "Throttling by the store",
    Cause.ERRORS: "Transient errors",
    Cause.CPU: "The CPU of this process",
    Cause.WRITING: "Writing the results",
    Cause.SERIAL_STORE: "One request after the other",
}


def _proof(figures: RunFigures, by_cause: Mapping[Cause, float], cause: Cause) -> str:
    """The numbers that prove a cause, as the rest of a sentence."""
    spent = figures.spent
    often = f"{human_share(by_cause.get(cause, 0.0), spent.total)} of the time"
    p95 = "unknown" if figures.p95 is None else f"{figures.p95 * 1000:,.0f} ms"
    match cause:
        case Cause.LIMIT:
            return (
                f"for {often} all {figures.maximum:,} requests that `concurrency` allows were in "
                f"flight, with a P95 latency of {p95}; more would make it faster"
            )
        case Cause.THROTTLING:
            count = figures.faults.get("throttled", 0)
            how_many = f"{count:,} of {figures.requests:,} requests" if count else "other shards"
            return (
                f"for {often} requests waited after 503 SlowDown, or fewer were sent because of "
                f"it; {how_many} were throttled"
            )
        case Cause.ERRORS:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in figures.faults.items())
            return f"for {often} requests waited to be sent again ({kinds or 'of other shards'})"
        case Cause.CPU:
            starved = human_share(spent.core_wait, by_cause[cause])
            shared = f"; for {starved} of that it waited for a free core" if spent.core_wait else ""
            return f"for {often} its thread computed and did not wait for the store{shared}"
        case Cause.WRITING:
            return (
                f"for {often} the listing waited for the disk, or the bucket, that the results "
                "are written to"
            )
        case Cause.SERIAL_STORE:
            reason = (
                "as the store can only be listed page by page"
                if figures.is_serial
                else "as the keys were not split into ranges"
            )
            return f"for {often} one request was in flight, {reason}; the P95 latency was {p95}"
    return (
        f"for {often} it waited for responses, with {figures.mean_in_flight:.1f} of "
        f"{figures.maximum:,} requests in flight on average; the P95 latency was {p95}"
    )
