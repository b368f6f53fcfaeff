"""The inventory to verify: its records, and the ranges in which its listing found none."""

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
from inventory_assets.s3.decoding.page import MAX_KEYS
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions

RECORDS_PER_RANGE = MAX_KEYS
"""Records per sampled range, so that listing it again takes one request."""

EMPTY_RANGES = 4
"""The number of empty ranges to list again."""


@dataclass(frozen=True, slots=True)
class VerificationTarget:
    """An inventory to verify.

    Attributes:
        store: The store of its parts.
        parts: Its records, in key order.
        prefix: The inventory covers all keys with this prefix.
        began_at: When its listing began; objects modified later may differ.
        empty: Ranges in which the listing found nothing.
        versions: The versions it contains; None for current objects.
        key_order: The store's key order according to the evidence; None if unknown.
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
        """The inventory of a date, with the evidence of its snapshots.

        Raises:
            CorruptRecord: A snapshot is damaged.
        """
        empty: list[KeyRange] = []
        for entry in manifest.shards:
            snapshot = read_snapshot(store, layout, manifest.day, entry.shard.prefix)
            # The snapshot may be of a later listing, whose evidence is not that of the manifest.
            if snapshot and snapshot.fingerprint == entry.fingerprint:
                for row in snapshot.evidence:
                    rest = KeyRange(row.last_key or row.key_range.after, row.key_range.until)
                    empty += rest.minus(entry.shard.excluded)
        began_at = min(entry.started_at for entry in manifest.shards)
        versions = None
        if has_versions(manifest.schema):
            # Also right for shards that were listed during the day: they have no newer versions.
            late = manifest.reconstruction
            versions = Versions(late.as_of if late else None)
        orders = {entry.evidence.key_order for entry in manifest.shards}
        order = KeyOrder.DIRECTORY if KeyOrder.DIRECTORY in orders else KeyOrder.BYTES
        return cls(store, manifest.parts, manifest.prefix, began_at, empty, versions, order)

    @property
    def records(self) -> SampledRecords:
        """The records to sample."""
        return SampledRecords(self.store, self.parts, self.prefix)

    @property
    def rows(self) -> int:
        """The number of records in the inventory."""
        return self.records.rows

    def sample(self, chance: random.Random, count: int) -> list[KeyRange]:
        """Draw up to `count` ranges with records, and up to `EMPTY_RANGES` empty ones.

        Ranges with records have `RECORDS_PER_RANGE` records each (the last may have fewer) and tile
        the keys of `prefix`. Empty ones are widened to the record before and the record after.
        """
        ranges = self.records.blocks(chance, count, RECORDS_PER_RANGE)
        empty = chance.sample(self.empty, min(EMPTY_RANGES, len(self.empty)))
        return sorted({*ranges, *self.records.between_records(empty)})

    def sample_prefixes(
        self, chance: random.Random, count: int, *, longer: bool = False
    ) -> list[str]:
        """Draw up to `count` records, and for each a prefix with up to a page of records.

        Args:
            chance: The random generator.
            count: The maximum number.
            longer: Whether the prefixes must be longer than the inventory's prefix.
        """
        least = len(self.prefix) + longer
        return self.records.prefixes(chance, count, RECORDS_PER_RANGE, least)

    def records_in(self, key_range: KeyRange) -> dict[str, ComparedFields]:
        """The fields to compare of the records in a range, by name."""
        columns = [*COLUMNS, "version_id"]
        return compared_fields(read_records(self.store, self.parts, [key_range], columns))


def empty_between(parts: Sequence[Part], prefix: str) -> list[KeyRange]:
    """The empty ranges between and around parts, for a listing without other evidence.

    Each ends with the next key, if there is one.
    """
    whole = KeyRange.of_prefix(prefix)
    bounds = [(left.last_key, right.first_key) for left, right in pairwise(parts)]
    if parts:
        bounds = [(whole.after, parts[0].first_key), *bounds, (parts[-1].last_key, whole.until)]
    return [KeyRange(after, until) for after, until in bounds if after < until]
