"""The record of a held date: its unpublished manifest, why it is held, and who released it.

It lies beside the published files, so no reader of these meets it. A hold is one over the
`inventory.json` that was there when its run began, by the ETag: as soon as that file is replaced,
the hold has ended, whoever replaced it, and without a second write that a kill could prevent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from pydantic import computed_field

from inventory_assets.inventory.gate.verdict import Crossing
from inventory_assets.inventory.manifest.manifest import Manifest, Release
from inventory_assets.inventory.storage.layout import FileKind, Layout, day_of_partition, folder_of
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.store import Store

FORMAT = 1


@dataclass(frozen=True, slots=True)
class HeldDate:
    """A date that the gate held, at present or before.

    Attributes:
        day: The date.
        changed_at: When this record was written.
        held_since: When the present content of the date was first held.
        replaces: The ETag of the `inventory.json` that the held manifest would replace.
        crossings: The bounds that it crossed.
        manifest: The held manifest; none after its publication.
        releases: The releases of the date, the newest last.
    """

    day: date
    changed_at: datetime
    held_since: datetime
    replaces: str
    crossings: tuple[Crossing, ...]
    manifest: tuple[Manifest, ...]
    releases: tuple[Release, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """The number of the format of this record."""
        return FORMAT

    def release_of(self, identity: str) -> Release | None:
        """The newest release of a content of the date; None if it was not released."""
        found = (each for each in reversed(self.releases) if each.identity == identity)
        return next(found, None)

    @property
    def released(self) -> Manifest | None:
        """The manifest whose release was recorded, but perhaps not its publication."""
        for manifest in self.manifest:
            release = self.release_of(manifest.identity)
            if release is not None:
                return manifest.with_release(release)
        return None

    @property
    def sentences(self) -> list[str]:
        """Which bounds were crossed."""
        return [each.text for each in self.crossings]


HELD = RecordType(
    kind=FileKind.HELD,
    title="record of a held date",
    remedy="remove it, then materialize inventory_manifest for {day} again, which holds the date "
    "anew if it must",
    data_files="manifest[].shards[].parts[].key",
    written_at="changed_at",
    formats=(FORMAT,),
    model=HeldDate,
)


def read_held(store: Store, layout: Layout, day: date) -> HeldDate | None:
    """The hold of a date; None where it is not held, or not any more.

    Raises:
        CorruptRecord: The record is damaged.
    """
    record = HELD.read(store, layout.held(day))
    if record is None or not record.manifest or record.released is not None:
        return None
    return record if store.etag(layout.manifest(day)) == record.replaces else None


def days_with_holds(store: Store, layout: Layout) -> list[date]:
    """The dates that have a record of a hold, which may have ended, in order."""
    folder = folder_of(folder_of(layout.held(date.min)))
    return sorted(filter(None, map(day_of_partition, store.list_names(folder))))


def held_dates(store: Store, layout: Layout) -> Iterator[HeldDate]:
    """The dates that are held at present, in order.

    Raises:
        CorruptRecord: A record is damaged.
    """
    for day in days_with_holds(store, layout):
        held = read_held(store, layout, day)
        if held is not None:
            yield held
