"""Measure Dagster after years of daily use: `python -m benchmarks.years --shards 250`.

Two days of a source are listed, compared and merged by real runs in a template instance. Its last
day is then copied, row by row, as if the same had happened every day: other run ids, dates, times
and storage ids, in the tables in which Dagster would have them. Runs by date are copied for every
day, runs by date and shard for the days that the window of listings holds, and for a few days
more: these the project's own collection deletes, so that what it leaves behind is seen. Then
`dagster dev` runs on the result, and pages are opened in a browser without a window.

Ticks are not copied. Without `--postgres`, Dagster's storage is SQLite, in files of a new folder.
With it, the argument is the URL of a server without the database's name, on which two databases are
made anew: `template` and `years`.
"""

import argparse
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.years_history import build, print_sizes
from benchmarks.years_servers import measure
from benchmarks.years_source import Simulated

YEARS_OF_DAYS = 1_095


def main() -> None:
    """Build the history, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=250)
    parser.add_argument("--days", type=int, default=YEARS_OF_DAYS)
    parser.add_argument(
        "--opened", type=int, default=4, help="how often each page is opened; at least 2"
    )
    parser.add_argument(
        "--window", type=int, default=31, help="days that assets by shard have partitions for"
    )
    parser.add_argument("--postgres", metavar="URL", help="of a server, without a database")
    parser.add_argument("--folder", type=Path, help="keep the history here")
    parser.add_argument("--only-measure", action="store_true", help="the folder has a history")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        today = datetime.now(UTC).date()
        simulated = Simulated(
            folder, arguments.shards, arguments.days, today, window=arguments.window
        )
        if not arguments.only_measure:
            build(simulated, arguments.postgres)
        print_sizes(folder, arguments.postgres)
        measure(simulated, arguments.opened)


if __name__ == "__main__":
    main()
