"""What a report shows, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from inventory_assets.inventory.report.run_charts import HeatMap, InFlightChart


@dataclass(frozen=True, slots=True)
class Total:
    """Objects, their bytes, and the estimated cost.

    Attributes:
        objects: The number of objects, or of versions.
        bytes: The sum of their sizes.
        monthly_usd: The estimated cost of storing them for a month in USD; None if unknown.
    """

    objects: int
    bytes: int
    monthly_usd: float | None = None


@dataclass(frozen=True, slots=True)
class DateTotal:
    """The totals of a date.

    Attributes:
        day: The date.
        total: All objects and versions.
        waste: What could be deleted without losing a current object; None if unknown.
    """

    day: date
    total: Total
    waste: Total | None = None


@dataclass(frozen=True, slots=True)
class PrefixRow:
    """A prefix, with all that is beneath it.

    Attributes:
        prefix: The prefix; "" for the whole inventory, otherwise it ends in "/".
        total: What is beneath it.
        storage_class: The storage class of most of its bytes.
        objects_change: More objects than on the date compared with; None if unknown.
        bytes_change: More bytes than on that date; None if unknown.
    """

    prefix: str
    total: Total
    storage_class: str
    objects_change: int | None = None
    bytes_change: int | None = None

    @property
    def parent(self) -> str:
        """The prefix one level up; that of the whole inventory is itself."""
        return self.prefix[: self.prefix.rstrip("/").rfind("/") + 1] if self.prefix else ""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A storage class with its objects."""

    storage_class: str
    total: Total


@dataclass(frozen=True, slots=True)
class AgeTable:
    """Bytes by age and size of the objects.

    Attributes:
        ages: The names of the age bands, from young to old.
        sizes: The names of the size bands, from small to large.
        totals: For each age band, the totals of each size band.
    """

    ages: Sequence[str]
    sizes: Sequence[str]
    totals: Sequence[Sequence[Total]]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of any section; numbers stay numbers, so that the page can format them.

    Attributes:
        columns: The headings. Those that end in "bytes" or "usd" hold bytes or dollars.
        rows: The rows; None in a cell means "unknown".
        more: The number of rows that were left out.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]
    more: int = 0


@dataclass(frozen=True, slots=True)
class FindingSection:
    """A finding of the hygiene report.

    Attributes:
        title: What was found.
        explanation: Why it matters, and what helps.
        total: The objects concerned.
        worst: The prefixes that hold most of them.
        examples: Some of the keys.
    """

    title: str
    explanation: str
    total: Total
    worst: Table | None = None
    examples: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A titled section of tables, such as that of the lifecycle simulation.

    Attributes:
        title: Its heading.
        text: Sentences before the tables.
        tables: The tables, by caption.
    """

    title: str
    text: Sequence[str] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSection:
    """How the date was listed.

    Attributes:
        sentence: What limited the run.
        worse: Sentences about shards that were slower than before.
        heat: The heat map; None without pages.
        chart: The requests in flight over time; None where they are unknown.
        tables: The tables behind the pictures, and others, by caption.
    """

    sentence: str
    worse: Sequence[str]
    heat: HeatMap | None
    chart: InFlightChart | None
    tables: Mapping[str, Table]


@dataclass(frozen=True, slots=True)
class Check:
    """A check of the inventory: what it proves, whether it holds, and what it found."""

    name: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class ReportData:
    """All that the page shows.

    Attributes:
        source: The source's name, or the folder's.
        bucket: The bucket.
        prefix: The prefix of the source.
        day: The date of the inventory.
        listed_at: The time whose state it shows.
        identity: The identity of the manifest; "" for a listing in a folder.
        history: The totals of all dates kept, ascending; the last is `day`.
        compared_with: The date that changes of prefixes refer to; None without one.
        prefixes: The prefixes, in byte order; the first is the whole, "".
        classes: The storage classes, the largest first.
        ages: The age and size of the objects; None if unknown.
        findings: The findings, those that cost most first.
        sections: Further sections.
        checks: The checks of the inventory.
        verify_command: A command that verifies the inventory against the bucket.
        prices: The price table's date, region and source, for people; "" without prices.
        notes: What the report leaves out, and why.
        current: The current objects, where the inventory has other versions, too.
        run: How the date was listed; None where that is unknown.
    """

    source: str
    bucket: str
    prefix: str
    day: date
    listed_at: datetime
    identity: str
    history: Sequence[DateTotal]
    compared_with: date | None
    prefixes: Sequence[PrefixRow]
    classes: Sequence[ClassRow]
    ages: AgeTable | None = None
    findings: Sequence[FindingSection] = ()
    sections: Sequence[Section] = ()
    checks: Sequence[Check] = ()
    verify_command: str = ""
    prices: str = ""
    notes: Sequence[str] = ()
    current: Total | None = None
    run: RunSection | None = None

    @property
    def now(self) -> DateTotal:
        """The totals of the date itself."""
        return self.history[-1]
