"""`inventory hygiene`: what is waste or odd in an inventory."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.inventory_argument import (
    add_inventory,
    is_path,
    open_inventory,
    open_manifest,
)
from inventory_assets.cli.output import TABLE, print_json
from inventory_assets.units import human_bytes

if TYPE_CHECKING:
    from inventory_assets.inventory.hygiene.report import HygieneReport
    from inventory_assets.inventory.hygiene.rows import Row


def add_hygiene(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "hygiene",
        help="show what is waste or odd in an inventory",
        description="Show what is waste or odd in an inventory: noncurrent versions, delete "
        "markers that hide nothing, keys that hurt, the largest objects, the most crowded "
        "prefixes. For a date of a source, this is its published hygiene report; without one, and "
        "for a folder, the files are read. Nothing is published.",
    )
    add_inventory(parser)
    parser.add_argument(
        "--duplicates",
        action="store_true",
        help="search also for objects with equal ETag and size, if the report has not",
    )
    parser.add_argument(
        "--format",
        choices=[TABLE, "json"],
        default=TABLE,
        help="print tables, or the whole report as one JSON document (table)",
    )
    parser.set_defaults(run=_hygiene)


def _hygiene(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.hygiene.report import HYGIENE

    report = (_of_path if is_path(options.inventory) else _of_source)(options)
    if options.format == "json":
        print_json(json.loads(HYGIENE.encode(report)))
    else:
        _print_tables(report)
    return 0


def _of_source(options: argparse.Namespace) -> "HygieneReport":
    """The published report of a date; without one, a new one, with the configured settings."""
    from inventory_assets.inventory.hygiene.report import DUPLICATES
    from inventory_assets.inventory.hygiene.survey import (
        Surveyed,
        SurveyOptions,
        read_report,
        survey,
    )
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.query.usage_query import usage_of
    from inventory_assets.wiring.prices import prices_of
    from inventory_assets.wiring.source_access import open_source_uploads

    source, store, layout, manifest = open_manifest(options.inventory)
    report = read_report(store, layout, manifest.day)
    is_of_manifest = report is not None and report.manifest_identity == manifest.identity
    if report and is_of_manifest and (report.finding(DUPLICATES) or not options.duplicates):
        return report
    settings, now = source.hygiene, datetime.now(UTC)
    chosen = SurveyOptions(
        duplicates=settings.duplicates or options.duplicates,
        uploads=open_source_uploads(source, now) if settings.multipart_uploads else None,
        part_requests=settings.part_requests,
        usage=usage_of(Dataset.of_date(store, layout, manifest.day)),
        is_kept=False,
    ).with_prices(prices_of(source))
    return survey(Surveyed.of_manifest(store, layout, manifest), chosen, now)


def _of_path(options: argparse.Namespace) -> "HygieneReport":
    """The report of a folder."""
    from inventory_assets.inventory.hygiene.survey import Surveyed, SurveyOptions, survey
    from inventory_assets.inventory.parts.schema import has_versions
    from inventory_assets.inventory.pricing.price_table import load_prices
    from inventory_assets.inventory.query.usage_query import usage_of

    dataset = open_inventory(options.inventory)
    surveyed = Surveyed(
        dataset.store,
        dataset.parts,
        dataset.bucket,
        "",
        has_versions(dataset.schema),
        dataset.layout,
    )
    chosen = SurveyOptions(
        duplicates=options.duplicates, usage=usage_of(dataset), is_kept=False
    ).with_prices(load_prices())
    return survey(surveyed, chosen, datetime.now(UTC))


def _print_tables(report: "HygieneReport") -> None:
    from inventory_assets.inventory.hygiene import rows

    of_date = f" on {report.day}" if report.day else ""
    print(
        f"{report.source or report.bucket}{of_date}: {report.objects:,} objects, "
        f"{human_bytes(report.bytes)}"
    )
    _print_table("", rows.finding_rows(report))
    _print_table("worst prefixes", rows.prefix_rows(report))
    _print_table("largest objects", rows.largest_rows(report))
    _print_table("most crowded prefixes", rows.crowded_rows(report))
    _print_table("oldest unfinished uploads", rows.upload_rows(report))
    for line in rows.note_lines(report):
        print(line)


def _print_table(title: str, lines: "Sequence[Row]") -> None:
    import pyarrow as pa

    from inventory_assets.cli.table import write_table

    if not lines:
        return
    print(f"\n{title}" if title else "", flush=True)
    table = pa.Table.from_pylist(list(lines))
    write_table(table.to_batches(), table.schema, sys.stdout.buffer)
    sys.stdout.flush()
    if not title:
        print()
