"""Collect what the report of a date shows, and publish it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from shlex import quote

import pyarrow as pa

from inventory_assets.inventory.changes.change_log import ChangeLog, read_change_log
from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.gate.held_date import days_with_holds, read_held
from inventory_assets.inventory.hygiene.report import HYGIENE, HygieneReport
from inventory_assets.inventory.lifecycle.date_simulation import DATE_SIMULATION
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.manifest.manifest_merge import violations_of as manifest_violations
from inventory_assets.inventory.manifest.snapshot import files_that_differ
from inventory_assets.inventory.report.hygiene_sections import (
    finding_sections,
    object_sections,
    waste_of,
)
from inventory_assets.inventory.report.lifecycle_section import lifecycle_section
from inventory_assets.inventory.report.page import render
from inventory_assets.inventory.report.report_data import (
    Check,
    DateTotal,
    PrefixRow,
    ReportData,
    RunSection,
    Section,
    Table,
    Total,
)
from inventory_assets.inventory.report.run_section import run_section
from inventory_assets.inventory.report.usage_rows import (
    age_table,
    class_rows,
    current_total,
    most_changed,
    prefix_rows,
)
from inventory_assets.inventory.runs.date_run import regressions_of, run_of_manifest
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.by_prefix import Pricing
from inventory_assets.inventory.usage.date_usage import DateUsage, days_with_usage, read_usage
from inventory_assets.inventory.usage.date_usage import violations_of as usage_violations
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA, USAGE_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table

CHANGED_PREFIXES = 20
"""The prefixes in the table of what changed."""

_PASSED = {
    "The shards cover the source": "every key belongs to exactly one shard",
    "The data files exist": "all have the size that was published",
    "The usage reconciles": "it counts as many records and bytes as the manifest",
}


@dataclass(frozen=True, slots=True)
class ReportPrices:
    """What storage costs, for a report.

    Attributes:
        pricing: The estimated cost of rows of usage.
        label: Which prices these are, for people.
    """

    pricing: Pricing
    label: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A listing in a folder, of which no date is published.

    Attributes:
        name: What to call it, such as the name of the folder.
        bucket: The bucket that was listed.
        listed_at: The time whose state it holds.
        usage: Its aggregate, with `USAGE_SCHEMA`.
        prefixes: One row for each prefix, with `PREFIX_SCHEMA`.
        hygiene: What is waste or odd in it.
    """

    name: str
    bucket: str
    listed_at: datetime
    usage: pa.Table
    prefixes: pa.Table
    hygiene: HygieneReport


def collect_listing(listing: Listing) -> ReportData:
    """Collect what the report of a listing in a folder shows: no costs, and no earlier dates."""
    rows = prefix_rows(listing.prefixes, listing.usage)
    day = listing.listed_at.date()
    return ReportData(
        source=listing.name,
        bucket=listing.bucket,
        prefix="",
        day=day,
        listed_at=listing.listed_at,
        identity="",
        history=[DateTotal(day, rows[0].total, waste_of(listing.hygiene))],
        compared_with=None,
        prefixes=rows,
        classes=class_rows(listing.usage, None),
        ages=age_table(listing.usage, day),
        findings=finding_sections(listing.hygiene),
        sections=object_sections(listing.hygiene),
        notes=[*_notes(listing.hygiene)],
        current=current_total(listing.prefixes),
    )


def collect(store: Store, layout: Layout, day: date, prices: ReportPrices | None) -> ReportData:
    """Collect what the report of a date shows.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        day: A date with a manifest and usage.
        prices: What storage costs; without it, the costs of storage classes are unknown.

    Raises:
        InventoryNotFound: The date has no manifest or no usage.
        CorruptRecord: A table of usage is missing or damaged.
    """
    manifest, usage = _of_date(store, layout, day)
    aggregate = read_table(store, usage.aggregate.key, USAGE_SCHEMA)
    prefixes = read_table(store, usage.by_prefix.key, PREFIX_SCHEMA)
    rows = prefix_rows(prefixes, aggregate)
    hygiene = HYGIENE.read(store, layout.hygiene(day))
    simulated = DATE_SIMULATION.read(store, layout.lifecycle(day))
    log = read_change_log(store, layout, day)
    compared = usage.compared_with("")
    return ReportData(
        source=layout.source,
        bucket=layout.bucket,
        prefix=manifest.prefix,
        day=day,
        listed_at=manifest.listed_at,
        identity=manifest.identity,
        history=[*_history(store, layout, usage, waste_of(hygiene) if hygiene else None)],
        compared_with=compared.day if compared else None,
        prefixes=rows,
        classes=class_rows(aggregate, prices.pricing if prices else None),
        ages=age_table(aggregate, day),
        findings=finding_sections(hygiene) if hygiene else (),
        sections=[
            *_changes(log, rows, compared.day if compared else None),
            *([lifecycle_section(simulated.simulation)] if simulated else ()),
            *(object_sections(hygiene) if hygiene else ()),
        ],
        checks=[*_checks(store, manifest, usage)],
        verify_command=f"inventory verify {quote(f'{layout.source}@{day}')}",
        prices=prices.label if prices else "",
        notes=[*_gate_notes(store, layout, manifest), *_notes(hygiene)],
        current=current_total(prefixes),
        run=_run(store, layout, manifest),
    )


def _run(store: Store, layout: Layout, manifest: Manifest) -> RunSection | None:
    """How the date was listed; None if the run record is of another content, such as a held one."""
    run = run_of_manifest(store, layout, manifest)
    return None if run is None else run_section(run, regressions_of(store, layout, run))


def publish_report(
    store: Store, layout: Layout, day: date, prices: ReportPrices
) -> tuple[ReportData, bytes]:
    """Publish the page of a date beside its manifest; returns what it shows, and the page.

    Raises:
        InventoryNotFound: The date has no manifest or no usage.
        CorruptRecord: A table of usage is missing or damaged.
        StoreError: The page cannot be written.
    """
    data = collect(store, layout, day, prices)
    page = render(data).encode("utf-8", "backslashreplace")
    store.publish(layout.report(day), page)
    return data, page


def _of_date(store: Store, layout: Layout, day: date) -> tuple[Manifest, DateUsage]:
    manifest = read_manifest(store, layout, day)
    usage = read_usage(store, layout, day)
    missing = "inventory_manifest" if manifest is None else "prefix_usage"
    if manifest is None or usage is None:
        raise InventoryNotFound(
            f"there is no {missing} of {layout.source} for {day}, which the report shows; "
            f"materialize {missing} first"
        )
    return manifest, usage


def _history(
    store: Store, layout: Layout, usage: DateUsage, waste: Total | None
) -> Iterator[DateTotal]:
    """The totals of all dates up to that of the usage, which is the last."""
    for day in days_with_usage(store, layout):
        if day < usage.day and (earlier := read_usage(store, layout, day)):
            yield DateTotal(day, _total(earlier))
    yield DateTotal(usage.day, _total(usage), waste)


def _total(usage: DateUsage) -> Total:
    return Total(usage.totals.objects, usage.totals.bytes, usage.totals.monthly_usd)


def _changes(
    log: ChangeLog | None, rows: list[PrefixRow], compared_with: date | None
) -> Iterator[Section]:
    tables, text = {}, []
    if log and log.baseline_day:
        text.append(f"Objects compared with those of {log.baseline_day}, by key and ETag.")
        counts = [[change.value, count] for change, count in log.counts.items()]
        tables["Changed objects"] = Table(["change", "objects"], counts)
    changed = most_changed(rows)
    if changed and compared_with:
        tables[f"The prefixes that changed most since {compared_with}"] = Table(
            ["prefix", "objects more", "more bytes"],
            [
                [row.prefix, row.objects_change, row.bytes_change]
                for row in changed[:CHANGED_PREFIXES]
            ],
            more=max(len(changed) - CHANGED_PREFIXES, 0),
        )
    if tables:
        yield Section("What changed", text, tables)


def _checks(store: Store, manifest: Manifest, usage: DateUsage) -> Iterator[Check]:
    found = (
        manifest_violations(manifest),
        [f"{key} is missing or was altered" for key in files_that_differ(store, manifest.parts)],
        usage_violations(store, usage, manifest),
    )
    for (name, passed), violations in zip(_PASSED.items(), found, strict=True):
        yield Check(name, not violations, "; ".join(violations) or passed)


def _gate_notes(store: Store, layout: Layout, manifest: Manifest) -> Iterator[str]:
    """Dates that are held since the baseline, and whether this one was."""
    if manifest.release is not None:
        release = manifest.release
        yield (
            f"This date was held ({'; '.join(release.crossed)}) until {release.released_by} "
            f"released it at {release.released_at:%Y-%m-%d %H:%M} UTC, because: {release.because}."
        )
    first = manifest.baseline.day if manifest.baseline else date.min
    for day in days_with_holds(store, layout):
        if first <= day <= manifest.day and (held := read_held(store, layout, day)):
            yield f"A listing of {day} is held and not published: {'; '.join(held.sentences)}."


def _notes(hygiene: HygieneReport | None) -> Iterator[str]:
    if hygiene is None:
        yield "Waste and oddities: no hygiene report was published for this date."
        return
    for left_out in hygiene.left_out:
        yield f"Left out: {left_out}."
