"""A checkpoint: a record of what is safe of a listing, and what a run resumes from such records."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from inventory_assets.inventory.listing.draft_recovery import RangeInProgress
from inventory_assets.inventory.manifest.range_bounds import Ranges
from inventory_assets.inventory.manifest.unreadable_records import (
    NOTHING_UNREADABLE,
    UnreadableRecords,
)
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.schema import record_schema
from inventory_assets.inventory.storage.encodings import Encodings
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets.scan.validation.range_evidence import Ending, RangeEvidence

_CODE = 2
"""Raised when the same configuration would be listed otherwise than before."""


@dataclass(frozen=True, slots=True)
class CompletedRange:
    """Keys that are listed whole.

    Attributes:
        key_range: Which.
        parts: All records of them, in key order.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]

    @property
    def evidence(self) -> RangeEvidence:
        """What it was found to hold; the pages were counted by the run that is no more."""
        return RangeEvidence(
            self.key_range,
            sum(part.rows for part in self.parts),
            self.parts[0].first_key if self.parts else None,
            self.parts[-1].last_key if self.parts else None,
            0,
            Ending.RESUMED,
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One record.

    Attributes:
        identity: What was listed, and how; another identity is another listing.
        started_at: When the listing began, over all runs.
        written_at: When this was written.
        completed: What is safe, beside what other records say.
        requests: Requests sent since the record before.
        response_bytes: Bytes of their bodies.
        faults: Passing trouble they met, by kind.
        unreadable: Records of these keys that could not be decoded; beside them are counted all of
            this run that are too many to be kept one by one.
        in_progress: What is written, but not published, as of this record: the next one of the same
            process says it anew.
        spool: The file that holds what is not even written.
    """

    identity: str
    started_at: datetime
    written_at: datetime
    completed: Ranges[CompletedRange]
    requests: int
    response_bytes: int
    faults: Mapping[str, int]
    unreadable: UnreadableRecords = NOTHING_UNREADABLE
    in_progress: Ranges[RangeInProgress] = ()
    spool: str = ""


CHECKPOINT = RecordType(
    kind=FileKind.CHECKPOINT,
    title="checkpoint of an unfinished listing",
    remedy="materialize object_listing for {day} and this shard again",
    data_files="completed[].parts[].key",
    written_at="written_at",
    model=Checkpoint,
    indent=None,
)


@dataclass(frozen=True, slots=True)
class ResumedWork:
    """What is left of runs that did not finish.

    Attributes:
        completed: Disjoint and in key order; their parts are there.
        started_at: When the first of the runs began; None where nothing is kept.
        requests: Requests that they sent.
        response_bytes: Bytes of the bodies they received.
        faults: Passing trouble they met, by kind.
        unreadable: Records within the stretches that could not be decoded.
    """

    completed: tuple[CompletedRange, ...] = ()
    started_at: datetime | None = None
    requests: int = 0
    response_bytes: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    unreadable: UnreadableRecords = NOTHING_UNREADABLE

    @property
    def parts(self) -> list[Part]:
        """All their parts, in key order."""
        return [part for completed in self.completed for part in completed.parts]

    @property
    def evidence(self) -> list[RangeEvidence]:
        """What they were found to hold, in key order."""
        return [completed.evidence for completed in self.completed]

    @property
    def rows(self) -> int:
        """Objects that need not be listed again."""
        return sum(evidence.rows for evidence in self.evidence)

    def missing(self, ranges: Sequence[KeyRange]) -> tuple[KeyRange, ...]:
        """What is still to be listed of some ranges, in order."""
        covered = [completed.key_range for completed in self.completed]
        return tuple(left for key_range in ranges for left in key_range.difference(covered))


def listing_fingerprint(
    connection: BucketConfig,
    prefix: str,
    excluded: Iterable[str] = (),
    key_order: KeyOrder = KeyOrder.BYTES,
    versions: Versions | None = None,
    encodings: Encodings = Encodings.COMPACT,
) -> str:
    """What must be the same for a listing to be gone on with.

    That is the bucket, the keys and their order, how parts are encoded, and this code.
    """
    identifying = [
        _CODE,
        connection.bucket,
        connection.endpoint_url,
        prefix,
        sorted(excluded),
        key_order,
        str(record_schema(of_versions=versions is not None)),
        *([str(versions.as_of)] if versions else []),
        *([encodings] if encodings is not Encodings.COMPACT else []),
    ]
    return hashlib.sha256(json.dumps(identifying).encode()).hexdigest()[:32]


def checkpoint_name(listing: str, key_order: KeyOrder) -> str:
    """What the names of a listing's records begin with.

    A store's order may turn out to be another than was thought, each time anew. What was listed in
    the one is no concern of who tries the other: it neither goes on with it nor clears it.

    Args:
        listing: A file name of its own; it ends in no `~` and order.
        key_order: In which it is listed.
    """
    return listing if key_order is KeyOrder.BYTES else f"{listing}~{key_order}"


def listing_of(name: str) -> str:
    """To which listing a record of this name belongs."""
    return name.rsplit(".", 2)[0]


def run_of(name: str) -> str:
    """Which run wrote a record of this name."""
    return name.rsplit(".", 2)[1].rpartition("-")[0]
