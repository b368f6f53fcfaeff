"""`inventory lifecycle-simulate`: what lifecycle rules would do to an inventory."""

import argparse
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.bucket_arguments import positive
from inventory_assets.cli.inventory_argument import (
    add_inventory,
    is_path,
    open_inventory,
    source_and_day,
)
from inventory_assets.cli.output import print_json

if TYPE_CHECKING:
    from inventory_assets.config import Source
    from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation
    from inventory_assets.inventory.lifecycle.rules import LifecycleRules

ROWS_SHOWN = 20
"""Prefixes and disputes shown in a table; JSON has all."""


def add_lifecycle_simulate(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "lifecycle-simulate",
        help="show what lifecycle rules would do to an inventory",
        description="Show what S3's lifecycle rules would move and delete, and what that costs and "
        "saves by the price table. Nothing is changed. The rules are those of --rules, of the "
        "source's configuration, or of the bucket.",
    )
    add_inventory(parser)
    parser.add_argument(
        "--rules",
        metavar="FILE",
        type=Path,
        help="the rules, as `aws s3api put-bucket-lifecycle-configuration` takes them",
    )
    parser.add_argument(
        "--at",
        metavar="DATE",
        type=_day,
        help="the first day; what is overdue happens on it (the date of the inventory if it is "
        "named, else today in UTC)",
    )
    parser.add_argument(
        "--depth",
        metavar="N",
        type=positive,
        default=1,
        help="the number of slashes in the prefixes shown (1)",
    )
    parser.add_argument(
        "--format",
        choices=["table", "json"],
        default="table",
        help="print tables, or one JSON document with every day (table)",
    )
    parser.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.lifecycle.simulation import COLUMNS, simulate
    from inventory_assets.wiring.prices import prices_of

    now = datetime.now(UTC)
    source, day = _source(options.inventory)
    rules = _rules(options.rules, source, options.inventory, now)
    dataset = open_inventory(options.inventory)
    simulation = simulate(
        dataset.batches(COLUMNS),
        rules,
        options.at or day or now.date(),
        prices_of(source),
        depth=options.depth,
    )
    if options.format == "json":
        from inventory_assets.inventory.lifecycle.summary import plain

        print_json(plain(simulation))
    else:
        _print_tables(simulation)
    return 0


def _source(address: str) -> "tuple[Source | None, date | None]":
    from inventory_assets.config import load_config

    return (None, None) if is_path(address) else source_and_day(load_config(), address)


def _rules(
    path: Path | None, source: "Source | None", address: str, now: datetime
) -> "LifecycleRules":
    from inventory_assets.inventory.errors import RulesInvalid
    from inventory_assets.inventory.lifecycle.rules_document import read_rules
    from inventory_assets.wiring.named_files import lifecycle_rules_of

    if path is not None:
        return read_rules(path)
    if source is None:
        raise RulesInvalid(f"{address} is a path, which names no bucket; add --rules FILE")
    return lifecycle_rules_of(source, now, source.lifecycle)


def _print_tables(simulation: "LifecycleSimulation") -> None:
    from inventory_assets.inventory.lifecycle import summary

    for line in summary.sentences(simulation):
        print(line)
    for title, columns, rows in (
        ("rules", summary.RULE_COLUMNS, summary.rule_rows(simulation)),
        (
            "prefixes, at rest",
            summary.PREFIX_COLUMNS,
            summary.prefix_rows(simulation, ROWS_SHOWN),
        ),
        (
            "disputes of two rules",
            summary.DISPUTE_COLUMNS,
            summary.dispute_rows(simulation, ROWS_SHOWN),
        ),
    ):
        if rows:
            print(f"\n{title}:")
            sys.stdout.flush()
            _print_table(columns, rows)


def _print_table(columns: tuple[str, ...], rows: Any) -> None:
    import pyarrow as pa

    from inventory_assets.cli.table import write_table
    from inventory_assets.inventory.lifecycle.summary import table_of

    batch = pa.RecordBatch.from_pydict(dict(table_of(rows, columns)))
    write_table([batch], batch.schema, sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date, such as 2026-11-22") from None
