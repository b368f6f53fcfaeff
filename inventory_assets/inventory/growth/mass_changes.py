"""Mass overwrite and mass delete: signs of ransomware, and of a bad job."""

from inventory_assets.inventory.changes.change_log import ChangeLog
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.growth.bounds import GrowthBounds
from inventory_assets.units import human_share


def mass_changes(log: ChangeLog, change: Change, bounds: GrowthBounds) -> list[str]:
    """The sentence about too many changes of a kind; none if there are not too many.

    Args:
        log: The change log of a date.
        change: `MODIFIED` or `DELETED`.
        bounds: The bounds.
    """
    percent = {
        Change.MODIFIED: bounds.modified_percent,
        Change.DELETED: bounds.deleted_percent,
    }[change]
    count, before = log.counts[change], log.baseline_rows
    if before < bounds.min_objects or count * 100 <= percent * before:
        return []
    what = f"{count:,} of the {before:,} objects of {log.baseline_day}"
    return [f"{what} are {change.value} on {log.day}: {human_share(count, before)}"]
