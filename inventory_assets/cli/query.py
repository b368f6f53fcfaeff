"""`inventory query`: SQL over an inventory, by DuckDB."""

import argparse
from typing import Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import Output, add_output, require_flat
from inventory_assets.inventory.export.export_format import Dialect

VIEW = "inventory"
"""The name of the view over the records."""


def add_query(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "query",
        help="query an inventory in SQL (needs DuckDB)",
        description=f"Run one SELECT over the view `{VIEW}`, which has the columns of S3 "
        "Inventory. The query cannot change anything or read other files.",
    )
    add_inventory(parser)
    parser.add_argument("sql", metavar="SQL", help="one SELECT over that view")
    add_output(parser)
    parser.set_defaults(run=_query)


def _query(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.query.sql_query import query_reader

    output = Output.of(options, None, Dialect.PLAIN)
    with query_reader(open_inventory(options.inventory), VIEW, options.sql) as answer:
        require_flat(answer.schema, output)
        output.write(answer, answer.schema)
    return 0
