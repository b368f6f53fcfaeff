"""The geometry of the pictures of a run; the template draws them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

from inventory_assets.inventory.runs.figures import HeatCell, Timeline
from inventory_assets.inventory.runs.rows import BANDS, depth_label

WIDTH = 640
"""The width of the pictures, in units of their `viewBox`."""

HEIGHT = 180
"""The height of the curve."""

CELL_HEIGHT = 36
"""The height of a row of the heat map."""

MAX_CELL_WIDTH = 96
"""The width of a column of the heat map, if there are few."""

_TICKS = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the heat map.

    Attributes:
        x: Its left edge.
        y: Its upper edge.
        share: Its pages as a share of the pages of the fullest cell, which is its colour.
        pages: Its pages.
        label: What it stands for.
    """

    x: float
    y: float
    share: float
    pages: int
    label: str


@dataclass(frozen=True, slots=True)
class Label:
    """A text beside or below a picture, and its place on the axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Pages by the depth of their range's prefix, and by the latency band of its P95.

    Attributes:
        cell_width: The width of a column.
        height: The height of all rows.
        cells: The cells that hold pages.
        depths: The columns.
        bands: The rows.
    """

    cell_width: float
    height: float
    cells: tuple[Cell, ...]
    depths: tuple[Label, ...]
    bands: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class InFlightChart:
    """Requests in flight and their limit over time.

    Attributes:
        in_flight: The points of the line, as `x,y x,y` for SVG.
        limit: Those of the limit.
        ticks: The labelled values of the vertical axis.
        times: The labelled times of the horizontal axis.
    """

    in_flight: str
    limit: str
    ticks: tuple[Label, ...]
    times: tuple[Label, ...]


def heat_map(cells: Sequence[HeatCell]) -> HeatMap | None:
    """Lay out a heat map, the slowest band on top; None without cells."""
    if not cells:
        return None
    depths = range(min(each.depth for each in cells), max(each.depth for each in cells) + 1)
    width = min(MAX_CELL_WIDTH, WIDTH / len(depths))
    most = max(each.pages for each in cells)
    tops = {band: CELL_HEIGHT * (len(BANDS) - 1 - band) for band in range(len(BANDS))}
    return HeatMap(
        cell_width=width,
        height=CELL_HEIGHT * len(BANDS),
        cells=tuple(
            Cell(
                x=width * (each.depth - depths[0]),
                y=tops[each.band],
                share=each.pages / most,
                pages=each.pages,
                label=f"depth {depth_label(each.depth)}, {BANDS[each.band]}",
            )
            for each in cells
        ),
        depths=tuple(
            Label(width * (number + 0.5), depth_label(depth)) for number, depth in enumerate(depths)
        ),
        bands=tuple(Label(tops[band] + CELL_HEIGHT / 2, name) for band, name in enumerate(BANDS)),
    )


def in_flight_chart(timeline: Timeline) -> InFlightChart | None:
    """Lay out the requests in flight over time; None without a timeline."""
    buckets = len(timeline.in_flight)
    if not buckets:
        return None
    greatest = max(*timeline.in_flight, *timeline.limit, 1.0)
    step = max(1, -int(-greatest // _TICKS))
    top = step * -int(-greatest // step)
    return InFlightChart(
        in_flight=_steps(timeline.in_flight, top),
        limit=_steps(timeline.limit, top),
        ticks=tuple(
            Label(HEIGHT * (1 - value / top), f"{value:,}") for value in range(0, top + 1, step)
        ),
        times=tuple(
            Label(WIDTH * number / buckets, _time(number * timeline.width))
            for number in sorted({0, buckets // 2, buckets})
        ),
    )


def _steps(values: Sequence[float], top: float) -> str:
    """A line that is level in each bucket."""
    width = WIDTH / len(values)
    points = []
    for number, value in enumerate(values):
        y = HEIGHT * (1 - value / top)
        points += [f"{number * width:.1f},{y:.1f}", f"{(number + 1) * width:.1f},{y:.1f}"]
    return " ".join(points)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
