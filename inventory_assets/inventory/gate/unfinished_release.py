"""Releases that are recorded, and not published yet: their process runs, or was killed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.gate.held_date import HELD, HeldDate, days_with_holds
from inventory_assets.inventory.manifest.manifest import MANIFEST, Manifest
from inventory_assets.inventory.manifest.manifest_merge import manifest_etag, read_manifest
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store


@dataclass(frozen=True, slots=True)
class UnfinishedRelease:
    """A release that was recorded, and whose publication is not complete.

    Attributes:
        manifest: The manifest, with its release.
        crossed: Why it was held.
    """

    manifest: Manifest
    crossed: tuple[str, ...]


def unfinished_release(store: Store, layout: Layout, day: date) -> UnfinishedRelease | None:
    """The release of a date that is still to be published; None where there is none.

    It is running, or its process was killed: then the next run or release of the date finishes it.

    Raises:
        CorruptRecord: The record of the hold is damaged.
    """
    record = HELD.read(store, layout.held(day))
    manifest = release_to_finish(store, layout, record) if record else None
    if record is None or manifest is None or read_manifest(store, layout, day) == manifest:
        return None
    return UnfinishedRelease(manifest, tuple(record.sentences))


def unfinished_releases(store: Store, layout: Layout) -> Iterator[UnfinishedRelease]:
    """The releases that are still to be published, by date in order.

    Raises:
        CorruptRecord: The record of a hold is damaged.
    """
    for day in days_with_holds(store, layout):
        found = unfinished_release(store, layout, day)
        if found is not None:
            yield found


def release_to_finish(store: Store, layout: Layout, record: HeldDate) -> Manifest | None:
    """The manifest whose release is recorded, if nothing was published in its place."""
    manifest = record.released
    if manifest is None:
        return None
    # If it is there already, its publication was interrupted after `inventory.json`, or later.
    is_due = manifest_etag(store, layout, record.day) == record.replaces
    return manifest if is_due or _is_head(store, layout, manifest) else None


def _is_head(store: Store, layout: Layout, manifest: Manifest) -> bool:
    """Whether `inventory.json` is this manifest, whether or not the other files of the date are."""
    try:
        return MANIFEST.read(store, layout.manifest(manifest.day)) == manifest
    except CorruptRecord:
        return False
