"""`inventory export`: an inventory as one sorted file."""

import argparse
from typing import Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import STANDARD_OUTPUT, add_output, output_format, write_output
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect


def add_export(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write an inventory as one sorted file",
        description="Write an inventory as one file, sorted by key: whole, or not at all.",
    )
    add_inventory(parser)
    add_output(parser)
    parser.add_argument(
        "--dialect",
        type=Dialect,
        choices=list(Dialect),
        help="of a CSV: as S3 Inventory writes it (the default); for spreadsheets, with a header "
        "and no formulas; the manifest of S3 Batch Operations; or plain, with a header",
    )
    parser.add_argument("--prefix", metavar="P", default="", help="only keys that start with this")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    export_format = output_format(options, options.dialect or Dialect.S3_INVENTORY)
    if options.dialect and export_format.shape != "csv":
        raise UnknownFormat(f"--dialect is a way to write CSV, and {options.out} is none")
    dataset = open_inventory(options.inventory).with_prefix(options.prefix)
    batches = dataset.batches(export_format.columns(dataset.schema.names))
    rows = write_output(batches, dataset.schema, options.out, export_format)
    if options.out != STANDARD_OUTPUT:
        print(f"{rows:,} objects in {options.out}")
    return 0
