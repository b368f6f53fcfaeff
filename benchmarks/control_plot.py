"""Draw limits over time: `control_plot.py IMAGE < PANELS`, run by the peers' Python."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl  # type: ignore[import-not-found]
from matplotlib.figure import Figure  # type: ignore[import-not-found]

STYLE = {"svg.hashsalt": "control", "svg.fonttype": "none", "font.size": 9}
COLUMNS = 2


def draw(image: Path, panels: list[dict[str, Any]]) -> None:
    """One picture for each panel: its title, its seconds, and the limits of its lines."""
    mpl.rcParams.update(STYLE)
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = (4.2 * columns if columns > 1 else 7, 2.1 * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, panel in zip(grid, panels, strict=True):
        for name, limits in panel["lines"].items():
            at, limit = zip(*limits, (panel["seconds"], limits[-1][1]), strict=True)
            axes.step(at, limit, where="post", linewidth=1.1, label=name)
        axes.set_title(panel["title"], fontsize=9)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("seconds")
        axes.set_ylabel("limit")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]), json.load(sys.stdin))
