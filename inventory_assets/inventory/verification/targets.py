"""An inventory as something to verify: its records, and where it claims that there is nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.snapshot import read_snapshot
from inventory_assets.inventory.parts.part import Part, read_records
from inventory_assets.inventory.parts.schema import has_versions
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.verification.findings import (
    COLUMNS,
    ComparedFields,
    compared_fields,
)
from inventory_assets.inventory.verification.sampling import SampledRecords
from inventory_assets.s3.decoding.xml_decoder import MAX_KEYS
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions

RECORDS_A_RANGE = MAX_KEYS
"""Records in a range, so that it takes one request to list it again."""

EMPTY_RANGES = 4
"""Ranges without records that are listed again."""


@dataclass(frozen=True, slots=True)
class VerificationTarget:
    """An inventory, as far as it is needed to verify it.

    Attributes:
        store: Where its parts lie.
        parts: Its records, in key order.
        prefix: It holds all keys that start with it.
        began_at: When its listing began; what was modified later may differ.
        empty: Stretches of keys in which the listing found nothing.
        versions: Which versions it holds; None for current objects.
        key_order: In which order its store lists, as its evidence says; None if nothing says.
    """

    store: Store
    parts: Sequence[Part]
    prefix: str
    began_at: datetime
    empty: Sequence[KeyRange] = ()
    versions: Versions | None = None
    key_order: KeyOrder | None = None

    @classmethod
    def of_manifest(cls, store: Store, layout: Layout, manifest: Manifest) -> "VerificationTarget":
        """A date's inventory, with what its snapshots say.

        Raises:
            CorruptRecord: A snapshot is damaged.
        """
        empty: list[KeyRange] = []
        for entry in manifest.shards:
            snapshot = read_snapshot(store, layout, manifest.day, entry.shard.prefix)
            # A later listing of the shard proves nothing of this one.
            if snapshot and snapshot.fingerprint == entry.fingerprint:
                for row in snapshot.evidence:
                    rest = KeyRange(row.last_key or row.key_range.after, row.key_range.until)
                    empty += rest.minus(entry.shard.excluded)
        began_at = min(entry.started_at for entry in manifest.shards)
        versions = None
        if has_versions(manifest.schema):
            # A shard that was listed while the day lasted holds nothing that is younger than it.
            late = manifest.reconstruction
            versions = Versions(late.as_of if late else None)
        orders = {entry.evidence.key_order for entry in manifest.shards}
        order = KeyOrder.DIRECTORY if KeyOrder.DIRECTORY in orders else KeyOrder.BYTES
        return cls(store, manifest.parts, manifest.prefix, began_at, empty, versions, order)

    @property
    def records(self) -> SampledRecords:
        """Its records, to draw from."""
        return SampledRecords(self.store, self.parts, self.prefix)

    @property
    def rows(self) -> int:
        """Records in the inventory."""
        return self.records.rows

    def sample(self, chance: random.Random, count: int) -> list[KeyRange]:
        """Draw ranges: up to `count` of those with records, and `EMPTY_RANGES` of the others.

        Those with records hold `RECORDS_A_RANGE` each (the last may hold fewer), tile the keys of
        `prefix`, and are all drawn where there are no more. The others reach from the record before
        the stretch to the one behind it.
        """
        ranges = self.records.blocks(chance, count, RECORDS_A_RANGE)
        empty = chance.sample(self.empty, min(EMPTY_RANGES, len(self.empty)))
        return sorted({*ranges, *self.records.between_records(empty)})

    def sample_prefixes(
        self, chance: random.Random, count: int, *, longer: bool = False
    ) -> list[str]:
        """Draw up to `count` records: of each, what it and up to a page of others start with.

        Args:
            chance: Draws them.
            count: How many.
            longer: Only such as are longer than the inventory's own prefix.
        """
        least = len(self.prefix) + longer
        return self.records.prefixes(chance, count, RECORDS_A_RANGE, least)

    def holds(self, key_range: KeyRange) -> dict[str, ComparedFields]:
        """The records in a range."""
        columns = [*COLUMNS, "version_id"]
        return compared_fields(read_records(self.store, self.parts, [key_range], columns))


def empty_between(parts: Sequence[Part], prefix: str) -> list[KeyRange]:
    """The stretches between and around parts, where a listing without other evidence found nothing.

    Each ends with the key that comes next, if there is one.
    """
    whole = KeyRange.of_prefix(prefix)
    bounds = [(left.last_key, right.first_key) for left, right in pairwise(parts)]
    if parts:
        bounds = [(whole.after, parts[0].first_key), *bounds, (parts[-1].last_key, whole.until)]
    return [KeyRange(after, until) for after, until in bounds if after < until]
