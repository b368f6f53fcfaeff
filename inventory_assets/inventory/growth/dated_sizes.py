"""What the prefixes of a date hold, as far as its table of usage says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.by_prefix import COMPARED_COLUMNS
from inventory_assets.inventory.usage.date_usage import DateUsage, days_with_usage, read_usage
from inventory_assets.inventory.usage.keeping import KEEP, KeepRule
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA
from inventory_assets.inventory.usage.usage_files import read_table

MEASURES = ("objects", "bytes")

Sizes = tuple[int, int]
"""Objects and bytes, as in `MEASURES`."""


@dataclass(frozen=True, slots=True)
class DatedSizes:
    """Objects and bytes by prefix on a date.

    Attributes:
        day: The date.
        sizes: Of each prefix that has a row; the whole is "".
        delete_markers: The delete markers of the whole.
        rule: The rule by which prefixes have rows.
    """

    day: date
    sizes: Mapping[str, Sizes]
    delete_markers: int = 0
    rule: KeepRule = KEEP

    @property
    def whole(self) -> Sizes:
        """What the whole inventory holds."""
        return self.sizes[""]

    def most(self, prefix: str) -> Sizes:
        """The most that a prefix can hold; exact where it has a row.

        A prefix without a row need not be empty, but it is below the thresholds of the table.
        """
        found = self.sizes.get(prefix)
        if found is not None:
            return found
        objects, size = self.whole
        rows = len(self.sizes)
        records = objects + self.delete_markers
        most = min(self.rule.most_without_row(records, rows), objects)
        return most, self.rule.most_without_row(size, rows) if most else 0


def sizes_of(store: Store, usage: DateUsage) -> DatedSizes:
    """What the prefixes of a date hold.

    Raises:
        CorruptRecord: The table is missing or damaged.
    """
    table = read_table(store, usage.by_prefix.key, PREFIX_SCHEMA, COMPARED_COLUMNS)
    names, objects, sizes = (table.column(name).to_pylist() for name in COMPARED_COLUMNS)
    held = dict(zip(names, zip(objects, sizes, strict=True), strict=True))
    return DatedSizes(usage.day, held, usage.totals.delete_markers)


def sizes_before(store: Store, layout: Layout, day: date) -> Iterator[DatedSizes]:
    """What the prefixes held on the dates before another, the newest first; read as they are asked.

    Dates without usage that can be read are left out.
    """
    for earlier in reversed(days_with_usage(store, layout)):
        if earlier < day and (usage := read_usage(store, layout, earlier)):
            try:
                sizes = sizes_of(store, usage)
            except CorruptRecord:
                continue
            yield sizes
