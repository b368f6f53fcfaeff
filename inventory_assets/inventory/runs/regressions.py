"""Runs that were slower or failed more often than the earlier runs of the same shard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from inventory_assets.errors import printable
from inventory_assets.inventory.runs.cause import Cause
from inventory_assets.s3.latency_histogram import MIN_REQUESTS_FOR_P95, WITNESSES
from inventory_assets.units import human_share

COMPARED_RUNS = 7
"""The earlier runs with which a run is compared."""

LEAST_RUNS = 3
"""A median of fewer runs says little."""

SLOWER_RATIO = 1.5
"""A run that takes longer by this factor for an object is slower."""

SLOWER_SECONDS = 10.0
"""The least time by which a run is slower: nobody waits for less."""

MORE_LATENCY = 0.15
"""The seconds by which P95 latency may exceed its median; the bound of the original system."""

MORE_ERRORS = 0.008
"""The transient errors in a request by which a run may exceed the median; likewise."""

_SHOWN_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What of a shard's run is compared with later ones.

    Attributes:
        prefix: The prefix of the shard.
        seconds: The duration.
        rows: Records that were listed.
        requests: Requests sent.
        errors: Transient errors.
        p95: P95 latency in seconds; None without a successful request.
        cause: What limited the run.
        by_cause: The seconds spent on each cause.
    """

    prefix: str
    seconds: float
    rows: int
    requests: int
    errors: int
    p95: float | None
    cause: Cause
    by_cause: Mapping[Cause, float]

    @property
    def error_rate(self) -> float:
        """Transient errors, as a share of the requests."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def carried_p95(self) -> float | None:
        """P95 latency in seconds; None if too few requests carry it."""
        return self.p95 if self.requests - self.errors >= MIN_REQUESTS_FOR_P95 else None


@dataclass(frozen=True, slots=True)
class Regression:
    """A run that was worse than the earlier ones.

    Attributes:
        prefix: The prefix of the shard.
        root_cause: The cause on which it spent more time than before.
        sentence: What was worse, with the numbers, and why.
    """

    prefix: str
    root_cause: Cause
    sentence: str


def regression_of(run: RunSummary, earlier: Sequence[RunSummary]) -> Regression | None:
    """How a run was worse than the earlier runs of its shard; None where it was not.

    Args:
        run: The run.
        earlier: The earlier runs, the newest first; those after `COMPARED_RUNS` do not count.
    """
    compared = [*earlier[:COMPARED_RUNS]]
    if len(compared) < LEAST_RUNS:
        return None
    worse = [*_slower(run, compared), *_latency(run, compared), *_errors(run, compared)]
    if not worse:
        return None
    cause, more = _root_cause(run, compared)
    why = f"mostly by {cause}" + (f" (+{more:,.0f} s)" if more >= 1 else "")
    sentence = f"{_label(run.prefix)} {'; '.join(worse)}; {why}"
    return Regression(run.prefix, cause, sentence)


def _slower(run: RunSummary, earlier: Sequence[RunSummary]) -> list[str]:
    rates = [each.seconds / each.rows for each in earlier if each.rows]
    if not run.rows or len(rates) < LEAST_RUNS:
        return []
    usual = median(rates) * run.rows
    if run.seconds < usual * SLOWER_RATIO or run.seconds < usual + SLOWER_SECONDS:
        return []
    return [
        f"took {run.seconds:,.0f} s, {run.seconds / usual:.1f} times as long for an object as the "
        f"median of {len(rates)} earlier runs"
        if usual
        else f"took {run.seconds:,.0f} s"
    ]


def _latency(run: RunSummary, earlier: Sequence[RunSummary]) -> list[str]:
    known = [each.carried_p95 for each in earlier if each.carried_p95 is not None]
    p95 = run.carried_p95
    if p95 is None or len(known) < LEAST_RUNS:
        return []
    usual = median(known)
    if p95 <= usual + MORE_LATENCY:
        return []
    return [f"had a P95 latency of {p95 * 1000:,.0f} ms instead of {usual * 1000:,.0f} ms"]


def _errors(run: RunSummary, earlier: Sequence[RunSummary]) -> list[str]:
    usual = median(each.error_rate for each in earlier)
    if run.errors < WITNESSES or run.error_rate <= usual + MORE_ERRORS:
        return []
    before = human_share(usual, 1.0)
    return [f"had errors in {human_share(run.error_rate, 1.0)} of its requests instead of {before}"]


def _root_cause(run: RunSummary, earlier: Sequence[RunSummary]) -> tuple[Cause, float]:
    """The cause on which a run spent most more time than earlier ones, and how much more."""
    more = {}
    for cause, seconds in run.by_cause.items():
        usual = [
            each.by_cause.get(cause, 0.0) * (run.rows / each.rows if each.rows else 1.0)
            for each in earlier
        ]
        more[cause] = seconds - median(usual)
    if not more:
        return run.cause, 0.0
    cause = max(more, key=more.__getitem__)
    return cause, more[cause]


def _label(prefix: str) -> str:
    shown = printable(prefix)
    cut = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
    return f"'{cut}'" if prefix else "the shard of all other keys"
