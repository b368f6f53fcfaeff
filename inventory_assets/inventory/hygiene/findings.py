"""What is found in the records of a part, or of several parts, as values and as a record."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from inventory_assets.inventory.hygiene.prefix_counts import PrefixShare
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import RecordType

FORMAT = 1
EXAMPLES = 3

NONCURRENT = "noncurrent_versions"
HIDING_NOTHING = "markers_that_hide_nothing"


@dataclass(frozen=True, slots=True)
class StorageTotal:
    """Objects and bytes of one storage class and size band, of which the price follows.

    Attributes:
        storage_class: The class; `NO_STORAGE_CLASS` where the store names none.
        size_band: The number of `SIZE_BOUNDS` that the sizes reach.
        objects: The number of objects.
        bytes: Their bytes.
    """

    storage_class: str
    size_band: int
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What is counted of one finding.

    Attributes:
        totals: By storage class and size band, ascending.
        prefixes: What the largest prefixes hold beneath them, by prefix.
        examples: The first keys.
    """

    totals: tuple[StorageTotal, ...]
    prefixes: tuple[PrefixShare, ...]
    examples: tuple[str, ...]

    @property
    def objects(self) -> int:
        """The number of objects."""
        return sum(total.objects for total in self.totals)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(total.bytes for total in self.totals)


@dataclass(frozen=True, slots=True)
class LargeObject:
    """One of the largest objects.

    Attributes:
        key: Its key.
        size: Its bytes.
        storage_class: Its storage class.
        last_modified_date: When it was created or last replaced.
        is_current: Whether it is no noncurrent version.
    """

    key: str
    size: int
    storage_class: str
    last_modified_date: datetime | None
    is_current: bool


@dataclass(frozen=True, slots=True)
class PartFindings:
    """The findings of a part, or of several neighbours.

    Delete markers are counted only as `HIDING_NOTHING`, with the bytes of their keys.

    Attributes:
        totals: Objects and noncurrent versions by storage class and size band, ascending.
        tallies: What is counted of each finding that occurs, by name.
        largest: The largest objects, from the largest on.
        crowded: The prefixes that hold most objects directly in them, by prefix.
        format: The number of the format of this record.
    """

    totals: tuple[StorageTotal, ...]
    tallies: Mapping[str, Tally]
    largest: tuple[LargeObject, ...]
    crowded: tuple[PrefixShare, ...]
    format: int = FORMAT

    @property
    def objects(self) -> int:
        """Objects and noncurrent versions."""
        return sum(total.objects for total in self.totals)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(total.bytes for total in self.totals)


PART_FINDINGS = RecordType(
    kind=FileKind.PART_FINDINGS,
    title="record of a part's findings",
    remedy="remove it; it is computed again",
    formats=(FORMAT,),
    model=PartFindings,
    indent=None,
)
