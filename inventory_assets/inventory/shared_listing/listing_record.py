"""`listing.json`: what is listed together, whether it goes on, and finally its result."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.listing.checkpoint_record import listing_fingerprint
from inventory_assets.inventory.listing.shared_work import SHARED_FORMAT
from inventory_assets.inventory.manifest.range_bounds import Ranges
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.record_format import format_of
from inventory_assets.inventory.storage.record_type import decode_json, encode_json
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.store_profile import StoreProfile
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import RangeEvidence

LISTING = "listing.json"

ALL_VERSIONS = "all"
"""The versions of a listing that is not of a past moment."""

FORMAT = SHARED_FORMAT


@dataclass(frozen=True, slots=True)
class RecordPlaces:
    """Where the records of a shared listing lie in its store.

    Attributes:
        listing: The key of the record of the listing.
        work: The folder of all other records; those of a listing are in a folder of its own there.
    """

    listing: str = LISTING
    work: str = "work"

    def folder(self, listing: "SharedListing") -> str:
        """The folder of the records that are removed at the end."""
        return f"{self.work}/{listing.id}"


AT_ROOT = RecordPlaces()
"""The places in a store that belongs to one listing alone."""


@dataclass(frozen=True, slots=True)
class SharedRequest:
    """What the participants list; it must be equal for all of them.

    Attributes:
        bucket: The bucket.
        endpoint: Its endpoint; "" for AWS.
        prefix: The prefix of the keys.
        versions: `ALL_VERSIONS`, or as of which moment; "" for the current objects.
        encodings: The encodings of the files.
        program: The version of this program.
        fingerprint: From `listing_fingerprint`.
    """

    bucket: str
    endpoint: str
    prefix: str
    versions: str
    encodings: Encodings
    program: str
    fingerprint: str

    @classmethod
    def of(
        cls,
        bucket_config: BucketConfig,
        prefix: str,
        versions: Versions | None,
        encodings: Encodings,
    ) -> "SharedRequest":
        """The request of this participant."""
        as_of = versions.as_of if versions else None
        return cls(
            bucket_config.bucket,
            bucket_config.endpoint_url or "",
            prefix,
            "" if versions is None else f"as of {as_of.isoformat()}" if as_of else ALL_VERSIONS,
            encodings,
            version("inventory-assets"),
            listing_fingerprint(bucket_config, prefix, versions=versions, encodings=encodings),
        )

    def difference(self, other: "SharedRequest") -> str | None:
        """Describe in what this request differs from another; None if they are equal."""
        for title, mine, theirs in (
            ("version", self.program, other.program),
            ("bucket", self.bucket, other.bucket),
            ("endpoint", self.endpoint or "AWS", other.endpoint or "AWS"),
            ("prefix", self.prefix, other.prefix),
            ("versions", self.versions or "none", other.versions or "none"),
            ("encodings", str(self.encodings), str(other.encodings)),
            ("way to list", self.fingerprint, other.fingerprint),
        ):
            if mine != theirs:
                return f"the {title} is {theirs!r} there and {mine!r} here"
        return None


@dataclass(frozen=True, slots=True)
class SharedResult:
    """The result of a shared listing.

    Attributes:
        finished_at: When it was published.
        parts: The parts, in key order.
        evidence: The evidence of all ranges, in key order.
        requests: Requests sent by all participants.
        faults: Their transient errors, by kind.
        unreadable: Records that could not be decoded, and are in no part.
    """

    finished_at: datetime
    parts: tuple[Part, ...]
    evidence: Ranges[RangeEvidence]
    requests: int
    faults: Mapping[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE


@dataclass(frozen=True, slots=True)
class SharedListing:
    """The record of a shared listing.

    Attributes:
        format: `FORMAT`.
        id: A unique name, which the folders of the listing have.
        request: What is listed.
        begun_at: When the first participant began.
        lease_seconds: For how long a participant may be silent.
        profile: How the store of the bucket lists.
        requests: Requests sent before the ranges were listed.
        excluded: Prefixes whose keys are not listed, as for a shard.
        replaces: The ETag of what the result replaces; "" if there was nothing.
        failure: Why it cannot be completed; "" if it can.
        result: The result, once it is published.
    """

    format: int
    id: str
    request: SharedRequest
    begun_at: datetime
    lease_seconds: float
    profile: StoreProfile
    requests: int = 0
    excluded: tuple[str, ...] = ()
    replaces: str = ""
    failure: str = ""
    result: SharedResult | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is neither finished nor failed."""
        return self.result is None and not self.failure

    @property
    def layout(self) -> Layout:
        """The keys of the parts."""
        return Layout(self.request.bucket, self.id, self.request.encodings)

    @property
    def shard(self) -> Shard:
        """The keys that are listed, as a shard."""
        return Shard(self.request.prefix, self.excluded)

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """The key ranges that are listed, in order."""
        return self.shard.ranges


def encode_listing(listing: SharedListing) -> bytes:
    """The bytes of the record."""
    return encode_json(listing, indent=1)


class DamagedListing(CorruptRecord):
    """The record of a shared listing is damaged, rather than written by another version."""


def decode_listing(
    store: Store, data: bytes, key: str = LISTING, remedy: str = "list into another prefix"
) -> SharedListing:
    """Decode the record that lies at a key.

    Args:
        store: The store.
        data: The bytes of the record.
        key: The key.
        remedy: What the user can do, other than to use the same version on all machines.

    Raises:
        DamagedListing: It is damaged.
        CorruptRecord: Another version of this program wrote it.
    """
    kind: type[CorruptRecord] = DamagedListing
    reason = "is damaged"
    found = format_of(data, (FORMAT,))
    if found == FORMAT:
        with suppress(ValueError):
            return decode_json(SharedListing, data)
    elif found is not None:
        kind = CorruptRecord
        reason = f"has format {found}, and this version of the program knows {FORMAT}"
    raise kind(
        f"{store.where(key)} {reason}; use the same version of the program on all machines, or "
        f"{remedy}"
    )


def read_shared_listing(store: Store) -> SharedListing | None:
    """The shared listing at the root of a store; None if there is none.

    Raises:
        CorruptRecord: The record is damaged, or another version of this program wrote it.
        StoreError: It cannot be read.
    """
    data = store.read(LISTING)
    return None if data is None else decode_listing(store, data)
