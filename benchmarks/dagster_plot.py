"""Draw the cost of a shard: `dagster_plot.py IMAGE < LINES`, run by the peers' Python."""

import json
import sys
from pathlib import Path

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib.figure import Figure  # type: ignore[import-not-found]

STYLE = {"svg.hashsalt": "dagster", "svg.fonttype": "none", "font.size": 9}


def draw(image: Path, lines: dict[str, list[tuple[int, float]]]) -> None:
    """One line for each storage and kind of time; CPU time is dashed."""
    mpl.rcParams.update(STYLE)
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    for at, (name, points) in enumerate(lines.items()):
        style = "--" if "CPU" in name else "-"
        axes.plot(
            *zip(*points, strict=True),
            style,
            color=f"C{at // 2}",
            marker="o",
            markersize=3,
            linewidth=1.2,
            label=name,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("shards of the run")
    axes.set_ylabel("milliseconds a shard")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), json.load(sys.stdin))
