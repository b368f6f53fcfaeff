"""How a source is: its newest date, what is held, what grew and what is being listed.

Everything is told from the store of the results alone, by a few records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.inventory.gate.held_date import HeldDate, held_dates
from inventory_assets.inventory.gate.unfinished_release import (
    UnfinishedRelease,
    unfinished_releases,
)
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.inventory.growth.dated_sizes import DatedSizes
from inventory_assets.inventory.growth.sudden_changes import changed_whole
from inventory_assets.inventory.listing.checkpoint_record import CHECKPOINT, listing_of
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import (
    newest_manifest,
    read_manifest_as_of,
)
from inventory_assets.inventory.storage.layout import Layout, day_of_partition, folder_of
from inventory_assets.inventory.storage.store import Store

CHECKPOINTS_READ = 200
"""The checkpoints of a date that are read for their times; a listing has a few."""


@dataclass(frozen=True, slots=True)
class UnfinishedListings:
    """Listings of a date that have checkpoints: they are running, or were stopped.

    Attributes:
        day: The date.
        listings: Their number, one for each shard.
        last_checkpoint_at: When the last checkpoint of them was written; None if it is unknown.
    """

    day: date
    listings: int
    last_checkpoint_at: datetime | None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is.

    Attributes:
        source: Its name.
        newest: The manifest of the newest published date; None without one.
        baseline: The manifest that it was compared with; None without one, or if it is gone.
        held: The dates that are held.
        unfinished_releases: The releases whose publication was interrupted, or is running.
        odd: Sentences about the newest date: what could not be decoded, what fell or rose.
        unfinished: The listings that have checkpoints.
    """

    source: str
    newest: Manifest | None
    baseline: Manifest | None
    held: tuple[HeldDate, ...]
    unfinished_releases: tuple[UnfinishedRelease, ...]
    odd: tuple[str, ...]
    unfinished: tuple[UnfinishedListings, ...]


def status_of(store: Store, layout: Layout, bounds: GrowthBounds) -> SourceStatus:
    """How a source is, at present.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        bounds: The bounds of growth.

    Raises:
        CorruptRecord: The record of a hold is damaged.
        StoreError: The store cannot be read.
    """
    newest = newest_manifest(store, layout, before=date.max)
    found = newest.baseline if newest else None
    baseline = read_manifest_as_of(store, layout, found.day, found.identity) if found else None
    return SourceStatus(
        layout.source,
        newest,
        baseline,
        tuple(held_dates(store, layout)),
        tuple(unfinished_releases(store, layout)),
        tuple(_odd(newest, baseline, bounds)) if newest else (),
        tuple(_unfinished(store, layout)),
    )


def _odd(newest: Manifest, baseline: Manifest | None, bounds: GrowthBounds) -> Iterator[str]:
    if newest.unreadable:
        yield f"{newest.unreadable:,} record(s) could not be decoded and are in no part"
    if baseline is not None:
        before, now = (
            DatedSizes(each.day, {"": (each.objects, each.object_bytes)})
            for each in (baseline, newest)
        )
        yield from (change.text for change in changed_whole(before, now, bounds))


def _unfinished(store: Store, layout: Layout) -> Iterator[UnfinishedListings]:
    folders = [folder_of(folder(date.min)) for folder in (layout.checkpoints, layout.shared_work)]
    dates = {day_of_partition(name) for folder in folders for name in store.list_names(folder)}
    for day in sorted(filter(None, dates)):
        of_date = layout.checkpoints(day)
        names = [name for name in store.list_names(of_date) if name.endswith(".json")]
        keys = [f"{of_date}/{name}" for name in names]
        shared = _shared_listings(store, layout.shared_work(day))
        for folder in shared:
            keys += [f"{folder}/{name}" for name in store.list_names(folder)]
        if names or shared:
            written = (_written_at(store, key) for key in keys[:CHECKPOINTS_READ])
            last = max(filter(None, written), default=None)
            yield UnfinishedListings(day, len(set(map(listing_of, names))) + len(shared), last)


def _shared_listings(store: Store, folder: str) -> list[str]:
    """The folders of the checkpoints of listings that several runs share."""
    names = [name for name in store.list_names(folder) if not name.endswith(".json")]
    return [f"{folder}/{name}/checkpoints" for name in names]


def _written_at(store: Store, key: str) -> datetime | None:
    data = store.read(key)
    try:
        return CHECKPOINT.references_in(data).written_at if data else None
    except ValueError:
        return None
