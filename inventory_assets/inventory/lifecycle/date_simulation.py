"""The record of what lifecycle rules would do to the inventory of a date."""

from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.inventory.lifecycle.effects import LifecycleSimulation
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import RecordType

FORMAT = 1
"""The format of the record; it rises when older code could misread it."""


@dataclass(frozen=True, slots=True)
class DateSimulation:
    """The lifecycle simulation of a date.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        day: The date.
        manifest_identity: The identity of the manifest whose records were simulated.
        created_at: When it was made.
        simulation: What the rules would do.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date
    manifest_identity: str
    created_at: datetime
    simulation: LifecycleSimulation
    format: int = FORMAT


DATE_SIMULATION = RecordType(
    kind=FileKind.LIFECYCLE,
    title="lifecycle simulation",
    remedy="materialize lifecycle_simulation for {day} again",
    written_at="created_at",
    formats=(FORMAT,),
    model=DateSimulation,
)
