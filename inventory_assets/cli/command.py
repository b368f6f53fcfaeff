"""The `inventory` command: lists buckets without Dagster, and opens what was published."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from inventory_assets.cli.diff import add_diff
from inventory_assets.cli.export import add_export
from inventory_assets.cli.listing import add_list, add_resume
from inventory_assets.cli.log_lines import logged_to
from inventory_assets.cli.query import add_query
from inventory_assets.cli.verify import add_verify
from inventory_assets.errors import InventoryError

INTERRUPTED = 130
"""The exit code of a command that was told to stop, as shells have it."""

READER_LEFT = 141
"""The exit code of a command whose output nobody reads any more, as shells have it (SIGPIPE)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0 where it succeeded, 1 or more with one line if not."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with logged_to(sys.stderr):
            result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would write what is left once more on its way out, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except (InventoryError, OSError) as error:
        print(f"inventory: {error}", file=sys.stderr)
        return int(getattr(options, "trouble", 1))
    except KeyboardInterrupt as interrupt:
        what = f"; {interrupt}" if str(interrupt) else ""
        print(f"inventory: stopped{what}", file=sys.stderr, flush=True)
        # A usual exit would wait for the requests under way, however long the store takes.
        os._exit(INTERRUPTED)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inventory", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="inventory the embedded bucket for two days, through Dagster"
    )
    demo.set_defaults(run=_demo)

    add_list(commands)
    add_resume(commands)
    add_export(commands)
    add_query(commands)
    add_diff(commands)
    add_verify(commands)
    return parser


def _demo(_options: argparse.Namespace) -> int:
    from inventory_assets.tour import run_tour

    run_tour(Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
