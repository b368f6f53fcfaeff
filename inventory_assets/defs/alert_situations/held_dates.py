"""Dates that are held, and the end of their holds."""

from collections.abc import Iterator
from datetime import date

from inventory_assets.alerts.situation import Kind, Situation
from inventory_assets.defs.source.context import SourceContext
from inventory_assets.inventory.gate.held_date import held_dates
from inventory_assets.inventory.gate.unfinished_release import unfinished_releases
from inventory_assets.inventory.manifest.manifest_merge import read_manifest


def held_situations(work: SourceContext) -> Iterator[Situation]:
    """The dates that are held, and those whose release is not finished.

    Raises:
        InventoryError: The store cannot be read.
    """
    for each in held_dates(work.store, work.layout):
        command = f'inventory release {work.source.name}@{each.day} --because "..."'
        way_out = f"list it again, or release it with {work.assets.release_job} or `{command}`"
        yield Situation(
            f"{Kind.HELD_DATE}|{each.day}",
            Kind.HELD_DATE,
            f"{each.day} is held and not published; {way_out}: {'; '.join(each.sentences)}",
            fingerprint="; ".join(each.sentences),
            day=str(each.day),
        )
    for unfinished in unfinished_releases(work.store, work.layout):
        day, release = unfinished.manifest.day, unfinished.manifest.release
        by = release.released_by if release else "somebody"
        # The same situation as before, until readers have the date.
        yield Situation(
            f"{Kind.HELD_DATE}|{day}",
            Kind.HELD_DATE,
            f"{by} released {day}, and it is not published yet; the sensor "
            f"{work.source.name}_releases finishes that: {'; '.join(unfinished.crossed)}",
            fingerprint="; ".join(unfinished.crossed),
            day=str(day),
        )


def end_of_hold(work: SourceContext, day: date) -> str:
    """A sentence about how the hold of a date ended.

    Raises:
        InventoryError: The store cannot be read.
    """
    manifest = read_manifest(work.store, work.layout, day)
    if manifest is None:
        return f"{day} is not held any more; it is not published either"
    if manifest.release is None:
        return f"{day} was listed again, and is published"
    release = manifest.release
    return f"{day} is published: {release.released_by} released it, because: {release.because}"
