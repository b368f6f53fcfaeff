"""Checkpoints: records of the completed keys of a listing, from which another run resumes."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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

_LISTING_VERSION = 2
"""Increment it when this code lists the same configuration differently than before."""


@dataclass(frozen=True, slots=True)
class CompletedRange:
    """A range that is listed completely.

    Attributes:
        key_range: The range.
        parts: The parts that hold all its records, in key order.
    """

    key_range: KeyRange
    parts: tuple[Part, ...]

    @property
    def evidence(self) -> RangeEvidence:
        """The evidence of the range, without its pages, which an earlier run counted."""
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
    """One checkpoint.

    Attributes:
        identity: From `listing_fingerprint`; it differs for different listings.
        started_at: When the first run of the listing began.
        written_at: When the checkpoint was written.
        completed: Ranges completed since the previous checkpoint of the run.
        requests: Requests sent since then.
        response_bytes: Bytes of their response bodies.
        faults: Transient errors of these requests, by kind.
        unreadable: Records of the completed ranges and of those in progress that could not be
            decoded. Its `others` counts those of the whole run.
        in_progress: Ranges with unpublished records. The next checkpoint of the process replaces
            them.
        spool: The file with the records of `in_progress` that are in no draft.
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
    """The work of earlier runs that a run resumes.

    Attributes:
        completed: Disjoint and in key order; all their parts exist.
        started_at: When the first of the runs began; None if there is nothing to resume.
        requests: Requests that the runs sent.
        response_bytes: Bytes of the response bodies they received.
        faults: Their transient errors, by kind.
        unreadable: Records of the completed ranges that could not be decoded.
    """

    completed: tuple[CompletedRange, ...] = ()
    started_at: datetime | None = None
    requests: int = 0
    response_bytes: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    unreadable: UnreadableRecords = NOTHING_UNREADABLE

    @property
    def parts(self) -> list[Part]:
        """The parts of all completed ranges, in key order."""
        return [part for completed in self.completed for part in completed.parts]

    @property
    def evidence(self) -> list[RangeEvidence]:
        """The evidence of all completed ranges, in key order."""
        return [completed.evidence for completed in self.completed]

    @property
    def rows(self) -> int:
        """The number of records that need not be listed again."""
        return sum(evidence.rows for evidence in self.evidence)

    def within(self, ranges: Sequence[KeyRange]) -> "ResumedWork":
        """The work in some ranges, without what reaches beyond one of them."""
        completed = tuple(
            each
            for each in self.completed
            if any(each.key_range.intersection(one) == each.key_range for one in ranges)
        )
        unreadable = self.unreadable.within([each.key_range for each in completed])
        return replace(self, completed=completed, unreadable=unreadable)

    def missing(self, ranges: Sequence[KeyRange]) -> tuple[KeyRange, ...]:
        """The remaining subranges of some ranges, which are not listed yet, in key order."""
        covered = [completed.key_range for completed in self.completed]
        return tuple(left for key_range in ranges for left in key_range.difference(covered))


def listing_fingerprint(
    bucket_config: BucketConfig,
    prefix: str,
    excluded: Iterable[str] = (),
    key_order: KeyOrder = KeyOrder.BYTES,
    versions: Versions | None = None,
    encodings: Encodings = Encodings.COMPACT,
) -> str:
    """A hash that must be equal for a listing to be resumed.

    It covers the bucket, the keys and their order, the encodings of parts, and
    `_LISTING_VERSION`.
    """
    identifying = [
        _LISTING_VERSION,
        bucket_config.bucket,
        bucket_config.endpoint_url,
        prefix,
        sorted(excluded),
        key_order,
        str(record_schema(of_versions=versions is not None)),
        *([str(versions.as_of)] if versions else []),
        *([encodings] if encodings is not Encodings.COMPACT else []),
    ]
    return hashlib.sha256(json.dumps(identifying).encode()).hexdigest()[:32]


def checkpoint_name(listing: str, key_order: KeyOrder) -> str:
    """The beginning of the names of a listing's checkpoints.

    It differs by key order. The detected order of a store can change from run to run; a run in one
    order neither resumes nor clears the checkpoints of the other.

    Args:
        listing: A unique file name that does not end with `~` and an order.
        key_order: The order in which the store lists.
    """
    return listing if key_order is KeyOrder.BYTES else f"{listing}~{key_order}"


def listing_of(name: str) -> str:
    """The `checkpoint_name` in the file name or key of a checkpoint."""
    return name.rsplit(".", 2)[0]


def run_of(name: str) -> str:
    """The run in the file name of a checkpoint."""
    return name.rsplit(".", 2)[1].rpartition("-")[0]
