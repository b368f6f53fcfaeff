"""Whether a date may be published: its figures against the bounds of its source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from fractions import Fraction
from statistics import median

from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.growth.dated_sizes import DatedSizes
from inventory_assets.inventory.growth.sudden_changes import changed_whole
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.s3.latency_histogram import (
    MIN_REQUESTS_FOR_P95,
    WITNESSES,
    LatencyHistogram,
)

DATES_COMPARED = 7
"""The published dates before a date, with whose latencies its own are compared."""

MIN_DATES = 3
"""With fewer such dates, latencies are not judged: a median of two is the mean of two accidents."""

_BROKEN_SHOWN = 3


class Measure(StrEnum):
    """What the gate judges."""

    COMPLETENESS = "completeness"
    FAILED_REQUESTS = "failed_requests"
    LATENCY = "latency"
    GROWTH = "growth"


@dataclass(frozen=True, slots=True)
class GateBounds:
    """The bounds of a source; they are exceeded, not reached.

    Attributes:
        failed_percent: The share of requests that failed, in per cent.
        slower_ms: By how many milliseconds P95 of the page latency is above the median of the
            dates before.
        growth: The bounds of falls and rises of the whole inventory; None if these hold no date.
        is_enabled: Whether any date is held.
    """

    failed_percent: float
    slower_ms: int
    growth: GrowthBounds | None = None
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class DateFigures:
    """What the gate knows of a date.

    Attributes:
        day: The date.
        requests: The requests of its listings, failed attempts included.
        failed: The failed attempts among them, which were sent again.
        latency: How long the successful requests took.
        objects: Its current objects.
        object_bytes: The sum of the sizes of its objects and versions.
    """

    day: date
    requests: int
    failed: int
    latency: LatencyHistogram
    objects: int
    object_bytes: int

    @property
    def p95_ms(self) -> int | None:
        """P95 of the page latency in milliseconds; None if too few requests carry it."""
        if self.latency.total < MIN_REQUESTS_FOR_P95:
            return None
        seconds = self.latency.quantile(0.95)
        return None if seconds is None else round(seconds * 1000)


def figures_of(manifest: Manifest) -> DateFigures:
    """The figures of a date."""
    return DateFigures(
        manifest.day,
        manifest.requests,
        sum(manifest.faults.values()),
        manifest.latency,
        manifest.objects,
        manifest.object_bytes,
    )


@dataclass(frozen=True, slots=True)
class Crossing:
    """A bound that a date crossed.

    Attributes:
        measure: What crossed it.
        text: A sentence with the number and the bound, in one printable line.
    """

    measure: Measure
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate says of a date.

    Attributes:
        crossings: The bounds that it crossed; it is held if there are any.
        not_judged: What was not judged, and why.
    """

    crossings: tuple[Crossing, ...]
    not_judged: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """The sentences of the crossings."""
        return [each.text for each in self.crossings]

    def waived(self, why: str) -> "Verdict":
        """The verdict that holds nothing, and still tells what was crossed."""
        told = f"{why}, so it is not held, although {'; '.join(self.sentences)}"
        return Verdict((), (told, *self.not_judged))


ALLOWED = Verdict(())


def judge(
    now: DateFigures,
    earlier: Sequence[DateFigures],
    bounds: GateBounds,
    broken: Sequence[str] = (),
) -> Verdict:
    """Judge a date.

    Args:
        now: The figures of the date.
        earlier: Those of the published dates before it, the newest first; at most
            `DATES_COMPARED` count.
        bounds: The bounds of the source.
        broken: The rules of completeness that the evidence of its shards breaks, each with the
            place.
    """
    if not bounds.is_enabled:
        return Verdict((), ("the gate is switched off (`gate.enabled`)",))
    not_judged: list[str] = []
    crossings = [
        *_completeness(broken),
        *_failed_requests(now, bounds, not_judged),
        *_latency(now, earlier[:DATES_COMPARED], bounds, not_judged),
        *_growth(now, earlier, bounds),
    ]
    return Verdict(tuple(crossings), tuple(not_judged))


def _completeness(broken: Sequence[str]) -> Iterator[Crossing]:
    if broken:
        others = len(broken) - _BROKEN_SHOWN
        more = f"; and {others} more" if others > 0 else ""
        text = "; ".join(broken[:_BROKEN_SHOWN])
        yield Crossing(Measure.COMPLETENESS, f"the evidence is broken: {text}{more}")


def _failed_requests(
    now: DateFigures, bounds: GateBounds, not_judged: list[str]
) -> Iterator[Crossing]:
    if now.failed * 100 <= Fraction(str(bounds.failed_percent)) * now.requests:
        return
    what = f"{now.failed:,} of {now.requests:,} requests failed"
    if now.failed < WITNESSES:
        not_judged.append(f"{what}, which is not judged with fewer than {WITNESSES} failures")
        return
    yield Crossing(
        Measure.FAILED_REQUESTS,
        f"{what}, {now.failed / now.requests:.2%} of them; the bound is "
        f"{bounds.failed_percent:g} %",
    )


def _latency(
    now: DateFigures, earlier: Sequence[DateFigures], bounds: GateBounds, not_judged: list[str]
) -> Iterator[Crossing]:
    p95 = now.p95_ms
    before = [found for each in earlier if (found := each.p95_ms) is not None]
    if p95 is None:
        not_judged.append(
            f"the page latency is not judged: {now.latency.total:,} latencies are known, and fewer "
            f"than {MIN_REQUESTS_FOR_P95} do not carry a P95"
        )
    elif len(before) < MIN_DATES:
        not_judged.append(
            f"the page latency (P95 {p95:,} ms) is not judged: it is known of {len(before)} of the "
            f"last {DATES_COMPARED} published dates, and {MIN_DATES} are needed"
        )
    elif p95 - (usual := median(before)) > bounds.slower_ms:
        yield Crossing(
            Measure.LATENCY,
            f"P95 of the page latency is {p95:,} ms, {p95 - usual:,.0f} ms above the median of "
            f"{len(before)} dates before ({usual:,.0f} ms); the bound is {bounds.slower_ms:,} ms",
        )


def _growth(
    now: DateFigures, earlier: Sequence[DateFigures], bounds: GateBounds
) -> Iterator[Crossing]:
    if bounds.growth is None or not earlier:
        return
    before, after = (
        DatedSizes(each.day, {"": (each.objects, each.object_bytes)}) for each in (earlier[0], now)
    )
    for change in changed_whole(before, after, bounds.growth):
        rose = change.now > change.before
        bound = bounds.growth.rose_percent if rose else bounds.growth.fell_percent
        yield Crossing(Measure.GROWTH, f"{change.text}; the bound is {bound} %")
