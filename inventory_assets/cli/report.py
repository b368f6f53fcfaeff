"""`inventory report`: one HTML page about an inventory."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.inventory_argument import (
    add_inventory,
    is_path,
    open_inventory,
    open_manifest,
)
from inventory_assets.errors import printable
from inventory_assets.units import human_bytes

if TYPE_CHECKING:
    from inventory_assets.inventory.report.report_data import ReportData


def add_report(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "report",
        help="write one HTML page about an inventory",
        description="Write one HTML page about an inventory: what it holds and where, what grew, "
        "what it costs, what is waste, and what is odd. The page loads nothing and runs no "
        "script. For a date of a source, it shows the published usage, findings and changes; for "
        "a folder of `inventory list`, the files are read.",
    )
    add_inventory(parser)
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="the file, which appears when it is complete",
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.export.exporter import atomic_file
    from inventory_assets.inventory.report.page import render

    data = (_of_path if is_path(options.inventory) else _of_source)(options.inventory)
    page = render(data).encode("utf-8", "backslashreplace")
    with atomic_file(options.out) as file:
        file.write(page)
    print(f"{printable(str(options.out))}: {human_bytes(len(page))}; open it in a browser")
    return 0


def _of_source(inventory: str) -> "ReportData":
    from inventory_assets.inventory.report.date_report import ReportPrices, collect
    from inventory_assets.wiring.prices import prices_of, usage_pricing

    source, store, layout, manifest = open_manifest(inventory)
    prices = prices_of(source)
    return collect(store, layout, manifest.day, ReportPrices(usage_pricing(prices), prices.label))


def _of_path(inventory: str) -> "ReportData":
    from inventory_assets.inventory.hygiene.survey import Surveyed, SurveyOptions, survey
    from inventory_assets.inventory.parts.schema import has_versions
    from inventory_assets.inventory.query.usage_query import prefixes_of, published_usage, usage_of
    from inventory_assets.inventory.report.date_report import Listing, collect, collect_listing

    dataset, now = open_inventory(inventory), datetime.now(UTC)
    if dataset.layout and dataset.day and published_usage(dataset):
        return collect(dataset.store, dataset.layout, dataset.day, None)
    written = [path.stat().st_mtime for path in dataset.paths]
    listed_at = datetime.fromtimestamp(max(written), UTC) if written else now
    usage = usage_of(dataset)
    surveyed = Surveyed(
        dataset.store,
        dataset.parts,
        dataset.bucket,
        "",
        has_versions(dataset.schema),
        day=listed_at.date(),
    )
    return collect_listing(
        Listing(
            name=Path(inventory).resolve().name,
            bucket=dataset.bucket,
            listed_at=listed_at,
            usage=usage,
            prefixes=prefixes_of(dataset),
            hygiene=survey(surveyed, SurveyOptions(usage=usage, is_kept=False), now),
        )
    )
