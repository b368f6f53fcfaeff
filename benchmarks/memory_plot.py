"""Draw memory against objects listed: `memory_plot.py IMAGE CSV…`, run by the peers' Python."""

import csv
import sys
from pathlib import Path

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib.figure import Figure  # type: ignore[import-not-found]

MOST_POINTS = 400
STYLE = {"svg.hashsalt": "memory", "svg.fonttype": "none", "font.size": 9}


def points_of(file: Path) -> list[tuple[float, float]]:
    """Millions of objects and megabytes, thinned."""
    with file.open() as rows:
        points = [
            (int(row["objects"]) / 1e6, int(row["rss_bytes"]) / 1e6) for row in csv.DictReader(rows)
        ]
    points = [point for point in points if point[0]]  # before that it only starts
    return points[:: max(1, len(points) // MOST_POINTS)]


def draw(image: Path, files: list[Path]) -> None:
    """One line for each file; on a logarithmic axis where their lengths differ much."""
    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for file in files:
        points = points_of(file)
        axes.plot(*zip(*points, strict=True), linewidth=1.2, label=f"{points[-1][0]:,.3g} million")
    if len(files) > 1:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.legend(title="objects", frameon=False)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("objects listed, millions")
    axes.set_ylabel("resident memory, MB")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
