"""A newest date whose growth or changes cross a bound."""

from dataclasses import replace
from datetime import date
from itertools import chain

from inventory_assets.alerts.situation import Kind, Situation
from inventory_assets.defs.alert_situations.seen import Seen
from inventory_assets.defs.source.context import SourceContext
from inventory_assets.inventory.changes.change_log import read_change_log
from inventory_assets.inventory.changes.sorted_diff import Change
from inventory_assets.inventory.growth.dated_sizes import sizes_before, sizes_of
from inventory_assets.inventory.growth.mass_changes import mass_changes
from inventory_assets.inventory.growth.stopped_prefixes import stopped_prefixes
from inventory_assets.inventory.growth.sudden_changes import changed_prefixes, changed_whole
from inventory_assets.inventory.growth.wording import sentences
from inventory_assets.inventory.manifest.manifest_merge import newest_manifest
from inventory_assets.inventory.usage.date_usage import read_usage


def with_odd(work: SourceContext, seen: Seen, ended: dict[str, str]) -> Seen:
    """What was seen, with what is odd about the newest date once its usage is known.

    Args:
        work: The source.
        seen: What the look before kept.
        ended: Takes a sentence if nothing is odd any more, by the situation's key.

    Raises:
        InventoryError: The store cannot be read.
    """
    newest = newest_manifest(work.store, work.layout, before=date.max)
    usage = read_usage(work.store, work.layout, newest.day) if newest else None
    log = read_change_log(work.store, work.layout, newest.day) if newest else None
    if newest is None or usage is None or usage.manifest_identity != newest.identity:
        return seen
    identity = f"{usage.identity} {log.identity if log else ''}"
    if identity == seen.odd_of:
        return seen
    bounds, now = work.assets.growth_bounds, sizes_of(work.store, usage)
    earlier = sizes_before(work.store, work.layout, newest.day)
    before = next(earlier, None)
    found: list[str] = []
    if before is not None:
        found += sentences(changed_whole(before, now, bounds))
        found += sentences(changed_prefixes(before, now, bounds))
        if dates := bounds.stopped_after_dates:
            found += sentences(stopped_prefixes(now, chain([before], earlier), dates) or [])
    if log is not None and log.baseline_day is not None:
        for change in (Change.MODIFIED, Change.DELETED):
            found += mass_changes(log, change, bounds)
    key = f"{Kind.ODD_DATE}|{newest.day}"
    odd: tuple[Situation, ...] = ()
    if found:
        odd = (Situation(key, Kind.ODD_DATE, "; ".join(found), day=str(newest.day)),)
    elif any(each.key == key for each in seen.odd):
        ended[key] = f"{newest.day} was published again, and nothing is odd"
    return replace(seen, odd_of=identity, odd=odd)
