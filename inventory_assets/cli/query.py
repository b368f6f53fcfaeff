"""`inventory query`: SQL over an inventory, by DuckDB."""

import argparse
from typing import Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import add_output, output_format, write_output
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect

VIEW = "inventory"
"""Under which name a query finds the records."""


def add_query(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "query",
        help="ask an inventory in SQL (needs DuckDB)",
        description=f"Answer one SELECT over the view `{VIEW}`, whose columns are S3 Inventory's. "
        "Nothing can be changed, and no file be read but the inventory's.",
    )
    add_inventory(parser)
    parser.add_argument("sql", metavar="SQL", help="one SELECT, over that view")
    add_output(parser)
    parser.set_defaults(run=_query)


def _query(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.query.sql_query import query_reader

    export_format = output_format(options, Dialect.PLAIN)
    with query_reader(open_inventory(options.inventory), VIEW, options.sql) as answer:
        nested = [str(field) for field in answer.schema if field.type.num_fields]
        if nested and export_format.shape == "csv":
            raise UnknownFormat(f"CSV has no room for {nested[0]}; add --format jsonl")
        write_output(answer, answer.schema, options.out, export_format)
    return 0
