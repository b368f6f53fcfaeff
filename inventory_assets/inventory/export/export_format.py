"""File formats for exported records."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from inventory_assets.inventory.errors import UnknownFormat

SHAPES = ("parquet", "csv", "jsonl")
COMPRESSIONS = ("gz", "zst")


class Dialect(StrEnum):
    """Variants of CSV."""

    S3_INVENTORY = "s3-inventory"
    """As S3 Inventory: no header, all values quoted, keys percent-encoded, nulls empty
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html)."""
    SPREADSHEET = "spreadsheet"
    """With a header and plain keys; values that look like formulas are prefixed with '."""
    BATCH_OPERATIONS = "batch-operations"
    """The manifest of S3 Batch Operations: bucket, percent-encoded key, version id if listed
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-create-job.html)."""
    PLAIN = "plain"
    """With a header and unchanged values, quoted where necessary: for other programs."""

    @property
    def has_header(self) -> bool:
        """Whether the first line has the column names."""
        return self in {Dialect.SPREADSHEET, Dialect.PLAIN}

    def columns(self, names: Sequence[str]) -> list[str]:
        """The subset of `names` that is written."""
        if self is not Dialect.BATCH_OPERATIONS:
            return list(names)
        return [name for name in ("bucket", "key", "version_id") if name in names]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """The format of a file.

    Attributes:
        shape: One of `SHAPES`.
        compression: One of `COMPRESSIONS`, or empty.
        dialect: The variant, for CSV.
    """

    shape: str
    compression: str = ""
    dialect: Dialect = Dialect.S3_INVENTORY

    @classmethod
    def of(cls, name: str, dialect: Dialect = Dialect.S3_INVENTORY) -> "ExportFormat":
        """The format of a file name or suffix.

        Args:
            name: Such as `objects.csv.gz` or `csv.gz`.
            dialect: The variant, for CSV.

        Raises:
            UnknownFormat: The suffix is not known.
        """
        stem, _, compression = name.rpartition(".")
        if compression not in COMPRESSIONS:
            stem, compression = name, ""
        shape = stem.rpartition(".")[2]
        if shape not in SHAPES:
            raise UnknownFormat(
                f"the format of {name!r} is unknown; use a name that ends in .parquet, .csv or "
                ".jsonl, followed by .gz or .zst for a compressed file"
            )
        return cls(shape, compression, dialect)

    @classmethod
    def named(cls, name: str) -> "ExportFormat":
        """The format of a name in the configuration: a suffix, perhaps after a dialect.

        Raises:
            UnknownFormat: The name is not known.
        """
        for dialect in Dialect:
            if name.startswith(f"{dialect}.csv"):
                return cls.of(name.removeprefix(f"{dialect}."), dialect)
        return cls.of(name)

    @property
    def is_binary(self) -> bool:
        """Whether the file is not plain text."""
        return self.shape == "parquet" or bool(self.compression)

    def columns(self, names: Sequence[str]) -> list[str]:
        """The subset of `names` that is written; other columns need not be read."""
        return self.dialect.columns(names) if self.shape == "csv" else list(names)
