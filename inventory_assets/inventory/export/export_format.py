"""How records can be written as one file."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inventory_assets.inventory.errors import UnknownFormat

SHAPES = ("parquet", "csv", "jsonl")
COMPRESSIONS = ("gz", "zst")


class Dialect(StrEnum):
    """How records are written as CSV."""

    S3_INVENTORY = "s3-inventory"
    """As S3 Inventory does: no header, every value quoted, keys percent-encoded, null empty
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html)."""
    SPREADSHEET = "spreadsheet"
    """With a header and plain keys; what a spreadsheet might take for a formula begins with '."""
    BATCH_OPERATIONS = "batch-operations"
    """The manifest of S3 Batch Operations: bucket, percent-encoded key, version if there is one
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-create-job.html)."""
    PLAIN = "plain"
    """With a header, and values as they are, quoted where they must be: for other programs."""

    @property
    def has_header(self) -> bool:
        """Whether the columns' names stand in the first line."""
        return self in {Dialect.SPREADSHEET, Dialect.PLAIN}

    def columns(self, names: Sequence[str]) -> list[str]:
        """Which of some columns are written."""
        if self is not Dialect.BATCH_OPERATIONS:
            return list(names)
        return [name for name in ("bucket", "key", "version_id") if name in names]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How a file is written.

    Attributes:
        shape: One of `SHAPES`.
        compression: One of `COMPRESSIONS`, or empty.
        dialect: Of a CSV.
    """

    shape: str
    compression: str = ""
    dialect: Dialect = Dialect.S3_INVENTORY

    @classmethod
    def of(cls, name: str, dialect: Dialect = Dialect.S3_INVENTORY) -> "ExportFormat":
        """The format that a file's name, or its suffix alone, tells.

        Args:
            name: `objects.csv.gz`, `csv.gz`.
            dialect: Of a CSV.

        Raises:
            UnknownFormat: The suffix is none of those that are known.
        """
        stem, _, compression = name.rpartition(".")
        if compression not in COMPRESSIONS:
            stem, compression = name, ""
        shape = stem.rpartition(".")[2]
        if shape not in SHAPES:
            raise UnknownFormat(
                f"{name!r} does not say how to write it; let it end in .parquet, .csv or .jsonl, "
                "and in .gz or .zst after it to compress it"
            )
        return cls(shape, compression, dialect)

    @classmethod
    def named(cls, name: str) -> "ExportFormat":
        """The format that a name in the configuration tells: a suffix, or a dialect and a suffix.

        Raises:
            UnknownFormat: It tells none.
        """
        for dialect in Dialect:
            if name.startswith(f"{dialect}.csv"):
                return cls.of(name.removeprefix(f"{dialect}."), dialect)
        return cls.of(name)

    @property
    def is_binary(self) -> bool:
        """Whether it is no text."""
        return self.shape == "parquet" or bool(self.compression)

    def columns(self, names: Sequence[str]) -> list[str]:
        """Which of some columns are written; others need not be read."""
        return self.dialect.columns(names) if self.shape == "csv" else list(names)
