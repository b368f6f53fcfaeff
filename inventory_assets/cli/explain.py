"""`inventory explain`: what limited the listing of a date, or of one of its shards."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.inventory_argument import is_path, open_source
from inventory_assets.cli.output import print_json
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import InventoryNotFound

if TYPE_CHECKING:
    from inventory_assets.inventory.manifest.manifest import Manifest
    from inventory_assets.inventory.runs.figures import RunFigures
    from inventory_assets.inventory.runs.rows import Row
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.inventory.storage.store import Store

_TEXT = "text"


def add_explain(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="show what limited a listing",
        description="Show what limited the listing of a date, from its run record: one sentence, "
        "where the time went, the latency of pages by the depth of their prefixes, the slowest "
        "ranges, and what was in flight over time. Shards that were slower than in earlier runs "
        "are named.",
    )
    parser.add_argument(
        "inventory",
        metavar="SOURCE[@DATE]",
        help="a source of the configuration (logs: its newest date), or a date of it "
        "(logs@2026-11-22)",
    )
    parser.add_argument(
        "--shard", metavar="PREFIX", help='only the shard with this prefix; "" for all other keys'
    )
    parser.add_argument(
        "--format",
        choices=[_TEXT, "json"],
        default=_TEXT,
        help="print tables, or the whole record as one JSON document (text)",
    )
    parser.set_defaults(run=_explain)


def _explain(options: argparse.Namespace) -> int:
    if is_path(options.inventory):
        raise InventoryNotFound(
            f"{options.inventory} is a path, and only the dates of a source have run records; "
            "name a source of the configuration"
        )
    from inventory_assets.inventory.gate.held_date import read_held
    from inventory_assets.inventory.query.published_inventory import published_manifest

    _, store, layout, day = open_source(options.inventory)
    # A held date has run records, and may be held for what they explain.
    held = read_held(store, layout, day) if day else None
    manifest = held.manifest[0] if held else published_manifest(store, layout, day)
    (_explain_date if options.shard is None else _explain_shard)(options, store, layout, manifest)
    return 0


def _explain_date(
    options: argparse.Namespace, store: "Store", layout: "Layout", manifest: "Manifest"
) -> None:
    from inventory_assets.inventory.runs import rows
    from inventory_assets.inventory.runs.date_run import DATE_RUN, regressions_of, run_of_manifest

    day, run = manifest.day, run_of_manifest(store, layout, manifest)
    if run is None:
        raise InventoryNotFound(
            f"{layout.source} has no run record for this listing of {day}; materialize "
            "inventory_manifest for it"
        )
    regressions = regressions_of(store, layout, run)
    if options.format == "json":
        document = json.loads(DATE_RUN.encode(run))
        document["cause"] = _cause_document(run.figures)
        document["regressions"] = [
            {"prefix": each.prefix, "root_cause": each.root_cause, "sentence": each.sentence}
            for each in regressions
        ]
        print_json(document)
        return
    _print_figures(f"{layout.source} on {day}", run.figures)
    _print_table("the shards that took longest", rows.shard_rows(run.shards))
    for each in regressions:
        print(f"worse than before: {printable(each.sentence)}")
    if run.unknown:
        print(f"{run.unknown:,} shard(s) have no run record, and do not count")


def _explain_shard(
    options: argparse.Namespace, store: "Store", layout: "Layout", manifest: "Manifest"
) -> None:
    from inventory_assets.inventory.manifest.snapshot import read_snapshot
    from inventory_assets.inventory.runs.shard_run import SHARD_RUN, read_shard_run

    day, prefix = manifest.day, options.shard
    # The newest listing of the shard, whether or not the manifest has it already.
    snapshot = read_snapshot(store, layout, day, prefix)
    listings = [each for each in manifest.shards if each.shard.prefix == prefix]
    finished = [each.finished_at for each in ([snapshot] if snapshot else listings)]
    run = read_shard_run(store, layout, day, prefix, finished[0]) if finished else None
    if run is None:
        raise InventoryNotFound(
            f"{layout.source} has no run record for {day} and the shard {prefix!r}, or one of an "
            "earlier listing; "
            f"`inventory explain {layout.source}@{day}` shows the shards that have one"
        )
    if options.format == "json":
        document = json.loads(SHARD_RUN.encode(run))
        document["cause"] = _cause_document(run.figures)
        print_json(document)
    else:
        shard = f"'{printable(run.prefix)}'" if run.prefix else "all other keys"
        _print_figures(f"{layout.source} on {day}, {shard}", run.figures)


def _cause_document(figures: "RunFigures") -> dict[str, Any]:
    from inventory_assets.inventory.runs.cause import limiting_cause, seconds_by_cause

    found = limiting_cause(figures)
    return {
        "cause": found.cause,
        "share": round(found.share, 4),
        "sentence": found.sentence,
        "seconds": seconds_by_cause(figures),
    }


def _print_figures(subject: str, figures: "RunFigures") -> None:
    from inventory_assets.inventory.runs import rows
    from inventory_assets.inventory.runs.cause import limiting_cause

    p95 = "" if figures.p95 is None else f", P95 latency {figures.p95 * 1000:,.0f} ms"
    print(
        f"{printable(subject)}: {figures.rows:,} records in {figures.seconds:,.1f} s, "
        f"{figures.requests:,} requests, {figures.errors:,} transient errors{p95}"
    )
    print(printable(limiting_cause(figures).sentence))
    _print_table("where the time went", rows.time_rows(figures))
    _print_table("pages by depth and latency", rows.heat_rows(figures))
    _print_table("the slowest ranges", rows.slowest_rows(figures))
    _print_table("over time", rows.timeline_rows(figures))


def _print_table(title: str, lines: "Sequence[Row]") -> None:
    import pyarrow as pa

    from inventory_assets.cli.table import write_table

    if not lines:
        return
    print(f"\n{title}", flush=True)
    table = pa.Table.from_pylist(list(lines))
    write_table(table.to_batches(), table.schema, sys.stdout.buffer)
    sys.stdout.flush()
