"""The geometry of a line chart over dates; the template draws it as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH = 640
"""The width of the plot, in units of its `viewBox`."""

HEIGHT = 180
"""The height of the plot."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled place on an axis, or a point of the line."""

    at: float
    value: int
    day: date | None = None


@dataclass(frozen=True, slots=True)
class LineChart:
    """A line over dates.

    Attributes:
        points: The points, as `x,y x,y` for SVG.
        dots: The points with their dates and values: the place `at` is x.
        heights: The y of each dot.
        ticks: The labelled values of the vertical axis: the place `at` is y.
        days: The labelled dates of the horizontal axis: the place `at` is x.
    """

    points: str
    dots: tuple[Mark, ...]
    heights: tuple[float, ...]
    ticks: tuple[Mark, ...]
    days: tuple[Mark, ...]


def line_chart(values: Sequence[tuple[date, int]]) -> LineChart:
    """Lay out a line chart; the vertical axis begins at zero.

    Args:
        values: At least one date with its value, ascending. Dates may be missing in between.
    """
    first, last = values[0][0], values[-1][0]
    span = max((last - first).days, 1)
    greatest = max(value for _, value in values)
    step = _tick_step(greatest)
    top = step * max(-(-greatest // step), 1)
    xs = [WIDTH * ((day - first).days / span if len(values) > 1 else 0.5) for day, _ in values]
    ys = [HEIGHT * (1 - value / top) for _, value in values]
    labelled = sorted({0, len(values) // 2, len(values) - 1})
    return LineChart(
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True)),
        dots=tuple(Mark(x, value, day) for x, (day, value) in zip(xs, values, strict=True)),
        heights=tuple(ys),
        ticks=tuple(Mark(HEIGHT * (1 - value / top), value) for value in range(0, top + 1, step)),
        days=tuple(Mark(xs[at], values[at][1], values[at][0]) for at in labelled),
    )


def _tick_step(greatest: int) -> int:
    """A round step that divides the axis into at most five parts."""
    wanted = max(-(-greatest // 4), 1)
    power = int(10 ** (len(str(wanted)) - 1))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= wanted)
