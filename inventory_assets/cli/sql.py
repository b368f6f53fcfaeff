"""`inventory sql`: SQL over all dates of a source, by DuckDB."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import Output, add_output, require_flat
from inventory_assets.errors import InventoryError, printable
from inventory_assets.inventory.export.export_format import Dialect

if TYPE_CHECKING:
    from inventory_assets.inventory.query.sql_query import SqlSession

EXAMPLE = "SELECT day, objects, bytes FROM dates"
_PROMPT, _CONTINUED = "inventory> ", "      ...> "
_LEAVE = frozenset({"exit", "quit", ".exit", ".quit"})


def add_sql(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "sql",
        help="query all dates of a source in SQL (needs DuckDB)",
        description="Run one SELECT over the views `inventory` (the records of the date), "
        "`metadata` (what was asked of its objects), `changes` (the change logs of all dates), "
        "`usage` and `usage_by_prefix` (what all dates hold, by prefix) and `dates` (a row for "
        "each date). Without a query, it is read from "
        "standard input; on a terminal, queries are read one after the other, each up to a "
        "semicolon. Queries cannot change anything or read other files.",
    )
    add_inventory(parser)
    parser.add_argument("sql", metavar="QUERY", nargs="?", help="one SELECT over these views")
    add_output(parser)
    parser.set_defaults(run=_sql)


def _sql(options: argparse.Namespace) -> int:
    output = Output.of(options, None, Dialect.PLAIN)
    is_interactive = options.sql is None and sys.stdin.isatty() and sys.stdout.isatty()
    sql = None if is_interactive else options.sql or sys.stdin.read()
    with _session(options.inventory, sql) as session:
        if sql is not None:
            _answer(session, sql, output)
            return 0
        for query in _queries():
            try:
                _answer(session, query, output)
            except InventoryError as error:
                print(f"inventory: {printable(str(error))}", file=sys.stderr)
    return 0


@contextmanager
def _session(address: str, sql: str | None) -> "Iterator[SqlSession]":
    from inventory_assets.inventory.query.source_views import create_views
    from inventory_assets.inventory.query.sql_query import sql_session

    create = partial(create_views, inventory=open_inventory(address), sql=sql)
    with sql_session(create, EXAMPLE) as session:
        yield session


def _answer(session: "SqlSession", sql: str, output: Output) -> None:
    with session.reader(sql) as answer:
        require_flat(answer.schema, output)
        output.write(answer, answer.schema)


def _queries() -> Iterator[str]:
    """The queries that are typed, each up to a semicolon at the end of a line."""
    with suppress(ImportError):  # not every Python has it; lines can be edited with it
        import readline  # noqa: F401
    lines: list[str] = []
    while True:
        try:
            line = input(_CONTINUED if lines else _PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            lines = []
            continue
        if not lines and line.strip().rstrip(";").lower() in _LEAVE:
            return
        if line.strip():
            lines.append(line)
        if lines and lines[-1].rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
