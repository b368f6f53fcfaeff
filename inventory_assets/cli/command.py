"""The `inventory` command: list buckets without Dagster, and read published inventories."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from inventory_assets.cli.check_config import add_check_config
from inventory_assets.cli.diff import add_diff
from inventory_assets.cli.du import add_du
from inventory_assets.cli.explain import add_explain
from inventory_assets.cli.export import add_export
from inventory_assets.cli.hygiene import add_hygiene
from inventory_assets.cli.lifecycle_simulate import add_lifecycle_simulate
from inventory_assets.cli.listing import add_list, add_resume
from inventory_assets.cli.log_lines import logged_to
from inventory_assets.cli.metrics import add_metrics
from inventory_assets.cli.migrate_store import add_migrate_store
from inventory_assets.cli.query import add_query
from inventory_assets.cli.release import add_release
from inventory_assets.cli.report import add_report
from inventory_assets.cli.sql import add_sql
from inventory_assets.cli.status import add_status
from inventory_assets.cli.verify import add_verify
from inventory_assets.errors import InventoryError, machine_words, printable

INTERRUPTED = 130
"""The exit code of a command that received INT or TERM, as in shells."""

EXIT_SIGPIPE = 141
"""The exit code of a command whose output is no longer read, as in shells (SIGPIPE)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; an error is printed as one line."""
    options = build_parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # The demo prints a line for each run; the logs of the runs are in the Dagster UI.
        with nullcontext() if options.run is _demo else logged_to(sys.stderr):
            result: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # On exit Python would flush the rest once more, and print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_SIGPIPE
    except (InventoryError, OSError, MemoryError, RuntimeError) as error:
        message = None if isinstance(error, InventoryError) else machine_words(error)
        if message is None and isinstance(error, RuntimeError):
            raise
        if message:
            # Objects that are still open fail for the same reason when they are finalized.
            sys.unraisablehook = lambda _: None
            warnings.simplefilter("ignore")
        for line in (message or str(error), *getattr(error, "__notes__", ())):
            _print_error(line)
        return int(getattr(options, "error_exit_code", 1))
    except KeyboardInterrupt as stop:
        # The code that was stopped has saved its work, and added a note that says so.
        message = "; ".join(["inventory: stopped", *getattr(stop, "__notes__", ())])
        print(message, file=sys.stderr, flush=True)
        # A normal exit would wait for the requests in flight, however long the store takes.
        os._exit(INTERRUPTED)
    return result


def _print_error(text: str) -> None:
    """Print an error with its control characters escaped, as it may hold keys."""
    lines = "\n".join(map(printable, text.split("\n")))
    print(f"inventory: {lines}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command and of its subcommands."""
    parser = argparse.ArgumentParser(prog="inventory", description=__doc__)
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="inventory an embedded bucket for ten days, through Dagster"
    )
    demo.set_defaults(run=_demo)

    add_list(commands)
    add_resume(commands)
    add_export(commands)
    add_query(commands)
    add_sql(commands)
    add_diff(commands)
    add_du(commands)
    add_hygiene(commands)
    add_report(commands)
    add_explain(commands)
    add_verify(commands)
    add_lifecycle_simulate(commands)
    add_status(commands)
    add_release(commands)
    add_metrics(commands)
    add_migrate_store(commands)
    add_check_config(commands)

    completion = commands.add_parser(
        "completion",
        help="print a completion script for your shell",
        description="Print a script that completes commands and options: "
        'eval "$(inventory completion bash)".',
    )
    completion.add_argument("shell", choices=["bash", "zsh"])
    completion.set_defaults(run=_print_completion)
    return parser


class _ShowVersion(argparse.Action):
    """Print the installed version; looking it up is slow, so it is done on demand."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('inventory-assets')}")
        parser.exit()


def _print_completion(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(build_parser(), options.shell))
    return 0


def _demo(_options: argparse.Namespace) -> int:
    from inventory_assets.cli.demo import run_demo

    run_demo(Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
