"""The figures of a source between its runs, from the records in the store of the results.

They need no run, no Dagster and no OpenTelemetry, so they also tell that runs have stopped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time

from inventory_assets.inventory.gate.held_date import held_dates
from inventory_assets.inventory.gate.unfinished_release import unfinished_releases
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest, read_manifest_as_of
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.errors import TransientError
from inventory_assets.telemetry.conventions import BUCKET, ERROR_TYPE, SOURCE

_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number at this moment.

    Attributes:
        name: Its name, in the words of OpenTelemetry.
        unit: Its unit, in UCUM; `1` for a plain number.
        description: What it says.
        value: The number.
        attributes: What it is of.
    """

    name: str
    unit: str
    description: str
    value: float
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceRecords:
    """What the store says of a source.

    Attributes:
        newest: The newest published manifest; None without one.
        baseline: The manifest that it was compared with; None without one, or if it is gone.
        held: The dates that are held, or whose release is not published yet.
    """

    newest: Manifest | None
    baseline: Manifest | None
    held: Sequence[date] = ()


def read_records(store: Store, layout: Layout) -> SourceRecords:
    """Read the records of a source.

    Raises:
        CorruptRecord: A record is damaged.
        StoreError: The store cannot be read.
    """
    newest = newest_manifest(store, layout, before=date.max)
    found = newest.baseline if newest else None
    baseline = read_manifest_as_of(store, layout, found.day, found.identity) if found else None
    held = [each.day for each in held_dates(store, layout)]
    released = [each.manifest.day for each in unfinished_releases(store, layout)]
    return SourceRecords(newest, baseline, sorted({*held, *released}))


def source_figures(source: str, bucket: str, records: SourceRecords | None) -> list[Figure]:
    """The figures of a source.

    Args:
        source: Its name.
        bucket: Its bucket.
        records: What the store says; None if it could not be read.
    """
    of_source = {SOURCE: source, BUCKET: bucket}

    def figure(name: str, unit: str, description: str, value: float, **more: str) -> Figure:
        return Figure(f"inventory.{name}", unit, description, value, {**of_source, **more})

    is_read = figure(
        "readable", "1", "1 if the records of the source could be read.", float(records is not None)
    )
    if records is None:
        return [is_read]
    newest, baseline = records.newest, records.baseline
    found = [
        is_read,
        figure("published", "1", "1 if the source has a date.", float(newest is not None)),
        figure("held_dates", "{date}", "Dates that are held back.", len(records.held)),
    ]
    if newest is None:
        return found
    began = min(entry.started_at for entry in newest.shards)
    ended = max(entry.finished_at for entry in newest.shards)
    midnight = datetime.combine(newest.day, time(), UTC)
    found += [
        figure(
            "manifest.listed_time",
            "s",
            "When the state of the newest date was listed, in seconds since 1970.",
            newest.listed_at.timestamp(),
        ),
        figure(
            "manifest.date_time", "s", "Midnight, in UTC, of the newest date.", midnight.timestamp()
        ),
        figure(
            "manifest.listing_duration",
            "s",
            "Time from the first to the last request of the newest date.",
            (ended - began).total_seconds(),
        ),
        figure("manifest.requests", "{request}", "Requests of the newest date.", newest.requests),
        figure(
            "manifest.unreadable",
            "{record}",
            "Records of the newest date that could not be decoded.",
            newest.unreadable,
        ),
    ]
    for kind in TransientError:
        found.append(
            figure(
                "manifest.transient_errors",
                "{error}",
                "Transient errors of the newest date, by kind.",
                newest.faults.get(kind.value, 0),
                **{ERROR_TYPE: kind.name.lower()},
            )
        )
    for share in _QUANTILES:
        latency = newest.latency.quantile(share)
        if latency is not None:
            found.append(
                figure(
                    "manifest.request_latency",
                    "s",
                    "Latency of the requests of the newest date.",
                    latency,
                    quantile=str(share),
                )
            )
    for prefix, manifest in (("", newest), ("baseline.", baseline)):
        if manifest is not None:
            which = "baseline of the newest date" if prefix else "newest date"
            found += [
                figure(
                    f"{prefix}objects", "{object}", f"Objects of the {which}.", manifest.objects
                ),
                figure(
                    f"{prefix}object_size",
                    "By",
                    f"Bytes of the objects of the {which}.",
                    manifest.object_bytes,
                ),
            ]
    return found


def figures_read_at(moment: datetime) -> Figure:
    """When the figures were read, so that old ones can be told from new ones."""
    return Figure(
        "inventory.figures.read_time",
        "s",
        "When these figures were read, in seconds since 1970.",
        moment.timestamp(),
    )
