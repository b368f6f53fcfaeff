"""The `inventory` command: lists buckets without Dagster, and opens what was published."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inventory_assets.cli.diff import add_diff
from inventory_assets.cli.export import add_export
from inventory_assets.cli.listing import add_list, add_resume
from inventory_assets.cli.log_lines import logged_to
from inventory_assets.cli.query import add_query
from inventory_assets.cli.verify import add_verify
from inventory_assets.errors import InventoryError, machine_words, printable

INTERRUPTED = 130
"""The exit code of a command that was told to stop, as shells have it."""

EXIT_SIGPIPE = 141
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
        return EXIT_SIGPIPE
    except (InventoryError, OSError, MemoryError, RuntimeError) as error:
        words = None if isinstance(error, InventoryError) else machine_words(error)
        if words is None and isinstance(error, RuntimeError):
            raise
        if words:
            # What is left half open complains on its way out, of the same want.
            sys.unraisablehook = lambda _: None
            warnings.simplefilter("ignore")
        for sentence in (words or str(error), *getattr(error, "__notes__", ())):
            _tell(sentence)
        return int(getattr(options, "trouble", 1))
    except KeyboardInterrupt as stop:
        # What is left is told by whoever knows it, once it has written down what it could.
        message = "; ".join(["inventory: stopped", *getattr(stop, "__notes__", ())])
        print(message, file=sys.stderr, flush=True)
        # A usual exit would wait for the requests under way, however long the store takes.
        os._exit(INTERRUPTED)
    return result


def _tell(text: str) -> None:
    """Say on the terminal what is wrong, on which no key may move the cursor or ring the bell."""
    lines = "\n".join(map(printable, text.split("\n")))
    print(f"inventory: {lines}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inventory", description=__doc__)
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
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
    """Print the installed version, which is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('inventory-assets')}")
        parser.exit()


def _print_completion(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(_parser(), options.shell))
    return 0


def _demo(_options: argparse.Namespace) -> int:
    from inventory_assets.cli.demo import run_demo

    run_demo(Path.cwd())
    return 0


if __name__ == "__main__":
    sys.exit(main())
