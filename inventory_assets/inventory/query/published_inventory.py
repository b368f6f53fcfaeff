"""The published inventory of a date, or the reason why there is none."""

from datetime import date

from inventory_assets.inventory.changes.change_log import next_change_log
from inventory_assets.inventory.errors import InventoryNotFound
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest, read_manifest
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.store import Store


def published_manifest(store: Store, layout: Layout, day: date | None = None) -> Manifest:
    """The manifest of a date, or the newest manifest.

    Raises:
        InventoryNotFound: No inventory was published.
    """
    manifest = (
        newest_manifest(store, layout, before=date.max)
        if day is None
        else read_manifest(store, layout, day)
    )
    if manifest is None:
        removed = removed_inventory(store, layout, day) if day else None
        if removed:
            raise removed
        days = published_days(store, layout) if day else []
        is_early = day is not None and bool(days) and day < days[0]
        kept = f", or, if it was removed, name a date from {days[0]} on" if is_early else ""
        of_day = f"for {day}" if day else "yet"
        raise InventoryNotFound(
            f"no inventory of {layout.source} was published {of_day} under "
            f"{store.where(layout.base)}; materialize inventory_manifest first{kept}"
        )
    return manifest


def removed_inventory(store: Store, layout: Layout, day: date) -> InventoryNotFound | None:
    """The error for a date that retention has removed: the next change log was made with it."""
    later = next_change_log(store, layout, day)
    if later is None or later.baseline_day != day:
        return None
    days = published_days(store, layout)
    oldest = f"the oldest that is left is that of {days[0]}" if days else "none is left"
    place = f"{layout.source} under {store.where(layout.base)}"
    return InventoryNotFound(
        f"the inventory of {day} of {place} was removed by retention; {oldest}: name a date from "
        "then on"
    )


def published_days(store: Store, layout: Layout) -> list[date]:
    """The dates that have an inventory, in order."""
    return sorted(filter(None, map(day_of_folder, store.list_names(layout.base))))


def no_inventory(store: Store, layout: Layout, day: date) -> InventoryNotFound:
    """The error for a date that was removed, or never published."""
    removed = removed_inventory(store, layout, day)
    if removed:
        return removed
    days = published_days(store, layout)
    place = f"{layout.source} under {store.where(layout.base)}"
    if days and day < days[0]:
        return InventoryNotFound(
            f"the inventory of {day} of {place} was removed by retention or never published; "
            f"the oldest that is left is that of {days[0]}: name a date from then on"
        )
    return InventoryNotFound(
        f"no inventory of {place} was published for {day}; materialize inventory_manifest and "
        "change_log for that date if it was listed, or name another date"
    )
