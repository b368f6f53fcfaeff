"""`inventory diff`: what changed from one inventory to another."""

import argparse
from typing import Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import Output, add_output
from inventory_assets.inventory.export.export_format import Dialect

SAME, DIFFERENT, ERROR = 0, 1, 2
"""Exit codes, like those of diff(1)."""


def add_diff(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "diff",
        help="compare two inventories",
        description="Write what was created, modified, touched, transitioned or deleted from OLD "
        "to NEW, in key order. The exit code is 0 if nothing changed, 1 if something changed, and "
        "2 after an error.",
    )
    add_inventory(parser, "old")
    add_inventory(parser, "new")
    add_output(parser)
    parser.set_defaults(run=_diff, error_exit_code=ERROR)


def _diff(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.query.dataset_comparison import (
        BUCKET_DIFFERENCE_SCHEMA,
        changes_between,
    )

    output = Output.of(options, None, Dialect.PLAIN)
    changes = changes_between(open_inventory(options.old), open_inventory(options.new))
    rows = output.write(changes, BUCKET_DIFFERENCE_SCHEMA)
    return DIFFERENT if rows else SAME
