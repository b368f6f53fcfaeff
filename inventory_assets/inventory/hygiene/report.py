"""The hygiene report of a date: all findings, with counts, bytes, cost and the worst prefixes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from inventory_assets.inventory.hygiene.findings import (
    HIDING_NOTHING,
    NONCURRENT,
    LargeObject,
    PartFindings,
    StorageTotal,
    Tally,
)
from inventory_assets.inventory.hygiene.odd_keys import ODD_KEYS
from inventory_assets.inventory.hygiene.prefix_counts import PrefixShare, worst_prefixes
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import RecordType

FORMAT = 1
CROWDED = 20

SMALL = "small_objects"
UNTOUCHED = "untouched_for_a_year"
DUPLICATES = "likely_duplicates"
UPLOADS = "incomplete_uploads"

TITLES = {
    NONCURRENT: "Noncurrent versions",
    HIDING_NOTHING: "Delete markers that hide nothing",
    UPLOADS: "Incomplete multipart uploads",
    DUPLICATES: "Likely duplicates",
    SMALL: "Objects below the minimum size of their class",
    UNTOUCHED: "Objects in STANDARD not replaced for a year",
    "empty_segments": "Keys with an empty segment",
    "dot_segments": "Keys with a segment . or ..",
    "control_characters": "Keys with control characters",
    "trailing_spaces_or_dots": "Keys with a segment that ends in a space or dot",
    "invalid_in_windows": "Keys that Windows does not allow",
    "broken_hive_partitions": "Hive partitions without a column or value",
    "unescaped_for_hive": "Hive partitions with unescaped characters",
}
"""What each finding is called, in the order in which they are shown."""

_BY_OBJECTS = frozenset({HIDING_NOTHING, *ODD_KEYS})
"""The findings whose worst prefixes are those with most objects; of others, with most bytes."""

StoragePrice = Callable[[Sequence[StorageTotal]], float | None]
"""The USD a month that storing objects costs; None if it is unknown for any of them."""

PriceTable = Callable[[Sequence[StorageTotal]], StoragePrice]
"""The prices of a bucket by its totals, of which the tiers of the prices follow."""


def unknown_prices(_whole: Sequence[StorageTotal]) -> StoragePrice:
    """Prices that are unknown for every class."""
    return lambda totals: None if totals else 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of waste or oddity.

    Attributes:
        name: Its name, one of `TITLES`.
        title: What it is called.
        objects: The number of objects, versions, markers or uploads.
        bytes: Their bytes; None if no size is known.
        monthly_usd: What storing them costs a month, estimated; None if it is unknown.
        worst: The prefixes that hold most of them, none within another.
        examples: The first keys.
        unsized: How many of the objects have an unknown size; bytes and cost are of the others.
    """

    name: str
    title: str
    objects: int
    bytes: int | None
    monthly_usd: float | None
    worst: tuple[PrefixShare, ...] = ()
    examples: tuple[str, ...] = ()
    unsized: int = 0


@dataclass(frozen=True, slots=True)
class Skew:
    """How unevenly a date's objects and bytes are distributed.

    Attributes:
        crowded_share: The share of all objects that are directly in the most crowded prefix.
        largest_share: The share of all bytes that are in the largest objects.
        mean_size: The mean bytes of an object.
        largest_size: The bytes of the largest object.
    """

    crowded_share: float
    largest_share: float
    mean_size: float
    largest_size: int


@dataclass(frozen=True, slots=True)
class OldUpload:
    """An unfinished upload.

    Attributes:
        key: The key of the object that it would make.
        initiated: When it was started.
        bytes: The bytes of its parts; None if they are unknown.
    """

    key: str
    initiated: datetime
    bytes: int | None


@dataclass(frozen=True, slots=True)
class UploadAges:
    """How old the unfinished uploads of a bucket are.

    Attributes:
        older_than_days: The number of uploads older than so many days.
        oldest: The oldest ones, from the oldest on.
        gone: Uploads that were completed or aborted during the survey; they are not counted.
        requests: The requests for sizes that were sent.
    """

    older_than_days: tuple[tuple[int, int], ...]
    oldest: tuple[OldUpload, ...]
    gone: int
    requests: int


@dataclass(frozen=True, slots=True)
class HygieneReport:
    """What is waste or odd in an inventory.

    Attributes:
        bucket: The bucket inventoried.
        source: The name of the source; "" for a folder of a listing.
        day: The date; None for a folder of a listing.
        manifest_identity: The identity of the date's manifest; "" for a folder of a listing.
        created_at: When it was made.
        objects: Objects and noncurrent versions of the inventory.
        bytes: Their bytes.
        findings: What was searched for, in the order of `TITLES`, whether or not it was found.
        largest: The largest objects, from the largest on.
        crowded: The prefixes that hold most objects directly in them, from the fullest on.
        skew: How unevenly objects and bytes are distributed; None without objects.
        uploads: How old unfinished uploads are; None if they were not listed.
        prices: Which prices the costs are estimated with; "" if they are unknown.
        left_out: What was not searched for, and why.
        format: The number of the format of this record.
    """

    bucket: str
    source: str
    day: date | None
    manifest_identity: str
    created_at: datetime
    objects: int
    bytes: int
    findings: tuple[Finding, ...]
    largest: tuple[LargeObject, ...]
    crowded: tuple[PrefixShare, ...]
    skew: Skew | None
    uploads: UploadAges | None = None
    prices: str = ""
    left_out: tuple[str, ...] = ()
    format: int = FORMAT

    def finding(self, name: str) -> Finding | None:
        """A finding by its name; None if it was not searched for."""
        return next((each for each in self.findings if each.name == name), None)


HYGIENE = RecordType(
    kind=FileKind.HYGIENE,
    title="hygiene report",
    remedy="materialize hygiene_report for {day} again",
    written_at="created_at",
    formats=(FORMAT,),
    model=HygieneReport,
)


def findings_of(
    found: PartFindings, price: StoragePrice, *, of_versions: bool
) -> tuple[Finding, ...]:
    """The findings of all parts of an inventory.

    Args:
        found: Merged of all parts.
        price: What storage costs.
        of_versions: Whether versions and delete markers were listed.
    """
    names = [*([NONCURRENT, HIDING_NOTHING] if of_versions else []), *ODD_KEYS]
    return tuple(
        finding_of(name, found.tallies.get(name, Tally((), (), ())), price) for name in names
    )


def finding_of(name: str, tally: Tally, price: StoragePrice) -> Finding:
    """A finding of what was counted.

    Args:
        name: Its name.
        tally: What was counted.
        price: What storage costs.
    """
    order = _objects if name in _BY_OBJECTS else _bytes
    return Finding(
        name=name,
        title=TITLES[name],
        objects=tally.objects,
        bytes=tally.bytes,
        monthly_usd=price(tally.totals),
        worst=worst_prefixes(tally.prefixes, order),
        examples=tally.examples,
    )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings in the order of `TITLES`."""
    places = list(TITLES)
    return tuple(sorted(findings, key=lambda finding: places.index(finding.name)))


def crowded_prefixes(found: PartFindings) -> tuple[PrefixShare, ...]:
    """The prefixes that hold most objects directly in them, from the fullest on."""
    by_objects = sorted(found.crowded, key=lambda share: (-share.objects, share.prefix))
    return tuple(by_objects[:CROWDED])


def skew_of(found: PartFindings) -> Skew | None:
    """How unevenly objects and bytes are distributed; None without objects."""
    if not found.objects:
        return None
    largest = found.largest
    return Skew(
        crowded_share=max(share.objects for share in found.crowded) / found.objects,
        largest_share=sum(each.size for each in largest) / (found.bytes or 1),
        mean_size=found.bytes / found.objects,
        largest_size=largest[0].size,
    )


def _objects(share: PrefixShare) -> int:
    return share.objects


def _bytes(share: PrefixShare) -> int:
    return share.bytes or 0
