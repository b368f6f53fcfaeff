"""The manifest of a date, as `inventory.json` holds it."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property

import pyarrow as pa
from pydantic import JsonValue, TypeAdapter, computed_field
from pydantic.json_schema import GenerateJsonSchema

from inventory_assets.inventory.manifest.snapshot import (
    FORMAT,
    FORMAT_OF_VERSIONS,
    NO_REUSE,
    Reuse,
)
from inventory_assets.inventory.parts.part import ClassTotal, Part, class_totals
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.s3.latency_histogram import NO_LATENCIES, LatencyHistogram, merged
from inventory_assets.s3.store_profile import AWS
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions

NOT_SEEN = (
    "versions that were deleted for good before the listing, and null versions that were "
    "overwritten or deleted"
)
"""The versions that a reconstruction lacks, as the bucket holds no trace of them."""


@dataclass(frozen=True, slots=True)
class EvidenceSummary:
    """A summary of the evidence of a shard; its snapshot has the evidence of each range.

    Attributes:
        snapshot: The key of the snapshot in the store.
        ranges: The number of key ranges that were listed to their end.
        rows: The number of records found in them.
        key_order: The key order of the store.
        response_bytes: Bytes of the response bodies.
        seams: The number of seams of the ranges, by kind.
        store: A description of how the store differs from AWS in listings.
    """

    snapshot: str
    ranges: int
    rows: int
    key_order: KeyOrder
    response_bytes: int
    seams: Mapping[str, int] = field(default_factory=dict)
    store: str = AWS.habits


@dataclass(frozen=True, slots=True)
class Baseline:
    """The newest complete manifest before a date, with which the date is compared.

    Attributes:
        day: The date of that manifest.
        identity: The identity of that manifest.
    """

    day: date
    identity: str


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How the state of a past day was observed.

    Attributes:
        as_of: The time of that state, the end of the day.
        observed_from: When the listing of the first shard began.
        observed_until: When the listing of the last shard ended.
        shards: The number of shards that were listed after the day; others were listed during it.
        missing: A description of the versions that cannot be observed any more.
    """

    as_of: datetime
    observed_from: datetime
    observed_until: datetime
    shards: int
    missing: str = NOT_SEEN


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """A shard in a manifest.

    Attributes:
        shard: The keys that belong to it in this manifest.
        fingerprint: The fingerprint of its snapshot.
        started_at: When its listing began.
        finished_at: When its listing ended.
        parts: Its parts, in key order.
        requests: Requests of its listing.
        faults: Transient errors of its listing, by kind.
        evidence: A summary of the evidence of its snapshot.
        reuse: The parts that its snapshot reuses from the baseline.
        versions: Which versions it holds; None for current objects.
        unreadable: Records of its listing that could not be decoded; its snapshot has the first.
        latency: The latencies of the requests of the run that finished its listing.
    """

    shard: Shard
    fingerprint: str
    started_at: datetime
    finished_at: datetime
    parts: tuple[Part, ...]
    requests: int
    faults: Mapping[str, int]
    evidence: EvidenceSummary
    reuse: Reuse = NO_REUSE
    versions: Versions | None = None
    unreadable: int = 0
    latency: LatencyHistogram = NO_LATENCIES

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rows(self) -> int:
        """Records the shard holds: its objects, or all their versions and delete markers."""
        return sum(part.rows for part in self.parts)

    @property
    def object_bytes(self) -> int:
        """The sum of the sizes of its objects and versions, in bytes."""
        return sum(part.object_bytes for part in self.parts)

    @property
    def as_of(self) -> datetime | None:
        """The past time whose state it holds; None where it holds that of the listing."""
        return self.versions.as_of if self.versions else None


@dataclass(frozen=True, slots=True)
class Release:
    """Who published a date that the gate had held.

    Attributes:
        identity: The identity of the manifest that was released.
        released_at: When.
        released_by: Who: a user of the machine or of Dagster, or a run.
        because: The reason given.
        crossed: The bounds that the date crossed, a sentence each.
    """

    identity: str
    released_at: datetime
    released_by: str
    because: str
    crossed: tuple[str, ...]


@dataclass(frozen=True)  # without slots, for its cached properties
class Manifest:
    """The inventory of one date, as this project describes it.

    Published as `inventory.json`, with its totals (docs/manifest.schema.json), beside S3
    Inventory's `manifest.json`.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name.
        prefix: The source's prefix.
        day: The date.
        created_at: When it was merged.
        shards: The shards, by prefix in order.
        destination: Where readers of S3 Inventory look for the data files.
        configuration: The configuration of the source.
        baseline: The newest complete inventory before the date, as it was merged; None without.
        release: Who released it, if the gate held it; None otherwise.
    """

    bucket: str
    source: str
    prefix: str
    day: date
    created_at: datetime
    shards: tuple[ShardEntry, ...]
    destination: Destination
    configuration: Mapping[str, JsonValue]
    baseline: Baseline | None
    release: Release | None = None

    def with_release(self, release: Release | None) -> "Manifest":
        """The same manifest with its release."""
        return replace(self, release=release)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All parts, in key order; the keys ascend from part to part."""
        return tuple(sorted((p for entry in self.shards for p in entry.parts), key=_first_key))

    @cached_property
    def part_keys(self) -> frozenset[str]:
        """The keys of all parts in the store."""
        return frozenset(part.key for part in self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def rows(self) -> int:
        """Records of the inventory: its objects, or all their versions and delete markers."""
        return sum(entry.rows for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def objects(self) -> int:
        """Current objects in the inventory."""
        return sum(part.objects for part in self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def unreadable(self) -> int:
        """Records of the listings that could not be decoded; they are in no part."""
        return sum(entry.unreadable for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def format(self) -> int:
        """The number of the format of this record."""
        return FORMAT_OF_VERSIONS if self._holds_versions else FORMAT

    @property
    def listed_at(self) -> datetime:
        """The time whose state it holds: when the listing of the last shard ended."""
        return max(entry.as_of or entry.finished_at for entry in self.shards)

    @property
    def schema(self) -> pa.Schema:
        """The schema of its records."""
        return record_schema(of_versions=self._holds_versions)

    @property
    def _holds_versions(self) -> bool:
        return any(entry.versions for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def reconstruction(self) -> Reconstruction | None:
        """How the day was observed after its end; None where no shard was listed after it."""
        late = [entry for entry in self.shards if entry.as_of]
        if not late:
            return None
        return Reconstruction(
            as_of=max(entry.as_of for entry in late if entry.as_of),
            observed_from=min(entry.started_at for entry in late),
            observed_until=max(entry.finished_at for entry in late),
            shards=len(late),
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def object_bytes(self) -> int:
        """The sum of the sizes of all objects and versions, in bytes."""
        return sum(part.object_bytes for part in self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def classes(self) -> tuple[ClassTotal, ...]:
        """Totals by storage class."""
        return class_totals(self.parts)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def requests(self) -> int:
        """Requests of the listings, including failed attempts."""
        return sum(entry.requests for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def estimated_usd(self) -> float:
        """The estimated price of the requests on AWS in USD, at S3's list price in us-east-1."""
        # Its models take a tenth of a second, and readers of a manifest do not need them.
        from inventory_assets.inventory.pricing.price_table import load_prices

        return round(load_prices().listing_usd(self.requests), 6)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def faults(self) -> dict[str, int]:
        """Transient errors of the listings, by kind."""
        total: Counter[str] = Counter()
        for entry in self.shards:
            total.update(entry.faults)
        return dict(sorted(total.items()))

    @property
    def latency(self) -> LatencyHistogram:
        """The latencies of the listings' requests."""
        return merged(entry.latency for entry in self.shards)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def identity(self) -> str:
        """A hash of the content of the inventory: equal content has an equal identity."""
        shards = [(entry.shard.prefix, entry.fingerprint) for entry in self.shards]
        files = [part.key for part in self.parts]
        return hashlib.sha256(json.dumps([shards, files]).encode()).hexdigest()[:32]


MANIFEST = RecordType(
    kind=FileKind.MANIFEST,
    title="inventory.json",
    remedy="materialize inventory_manifest for {day} again",
    data_files="shards[].parts[].key",
    written_at="created_at",
    formats=(FORMAT, FORMAT_OF_VERSIONS),
    model=Manifest,
)

SUPERSEDED = replace(
    MANIFEST,
    kind=FileKind.SUPERSEDED,
    title="earlier inventory.json of a date",
    remedy="remove it, unless something downstream still compares with it",
)
"""A manifest whose date was published again. What was made of it can still be compared with it."""


def manifest_json_schema() -> dict[str, object]:
    """The JSON Schema of `inventory.json`."""
    schema = TypeAdapter(Manifest).json_schema(mode="serialization")
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


def _first_key(part: Part) -> str:
    return part.first_key
