"""`inventory export`: an inventory as one sorted file."""

import argparse
from typing import Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import STANDARD_OUTPUT, Output, add_output
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect


def add_export(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write an inventory as one sorted file",
        description="Write an inventory as one file, sorted by key. The file appears when it is "
        "complete.",
    )
    add_inventory(parser)
    add_output(parser)
    parser.add_argument(
        "--dialect",
        type=Dialect,
        choices=list(Dialect),
        help="dialect of CSV: as S3 Inventory writes it (default), for spreadsheets (a header, no "
        "formulas), as a manifest of S3 Batch Operations, or plain with a header",
    )
    parser.add_argument("--prefix", metavar="P", default="", help="only keys with this prefix")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    output = Output.of(options, options.dialect, Dialect.S3_INVENTORY)
    if options.dialect and not output.is_csv:
        raise UnknownFormat("--dialect applies only to CSV; leave it out, or write CSV")
    dataset = open_inventory(options.inventory).with_prefix(options.prefix)
    names = dataset.schema.names
    columns = output.export_format.columns(names) if output.export_format else names
    rows = output.write(dataset.batches(columns), dataset.schema)
    if options.out != STANDARD_OUTPUT:
        print(f"{rows:,} objects in {options.out}")
    return 0
