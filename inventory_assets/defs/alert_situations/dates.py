"""Held, late and odd dates of a source."""

from collections.abc import Iterable
from datetime import date, timedelta

from inventory_assets.alerts.situation import Kind, Situation
from inventory_assets.defs.alert_situations.held_dates import end_of_hold, held_situations
from inventory_assets.defs.alert_situations.late_dates import late_situations, with_late
from inventory_assets.defs.alert_situations.odd_dates import with_odd
from inventory_assets.defs.alert_situations.seen import Look, Seen
from inventory_assets.defs.source.context import SourceContext


def look_at_dates(
    work: SourceContext, seen: Seen, followed: Iterable[Situation], late_after: timedelta
) -> Look:
    """Look at held, late and odd dates.

    Args:
        work: The source.
        seen: What the look before kept.
        followed: The open situations before.
        late_after: How long after its schedule a date is late.

    Raises:
        InventoryError: The store cannot be read.
    """
    held = {each.key: each for each in held_situations(work)}
    ended = {
        each.key: end_of_hold(work, date.fromisoformat(each.day))
        for each in followed
        if each.kind is Kind.HELD_DATE and each.key not in held
    }
    seen = with_late(work, seen, late_after, {each.day for each in held.values()}, ended)
    seen = with_odd(work, seen, ended)
    return Look((*held.values(), *late_situations(seen), *seen.odd), ended, seen)
