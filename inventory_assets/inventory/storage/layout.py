"""Where in the store a source's files lie.

The dated folders, `data/` and `hive/` are laid out as S3 Inventory lays out a destination
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html); the rest is
this project's own.
"""

from dataclasses import dataclass, replace
from datetime import date

from inventory_assets.inventory.storage.encodings import Encodings, encodings_of
from inventory_assets.inventory.storage.prefix_encoding import file_stem

ICEBERG_CATALOG = "_iceberg.sqlite"
"""The catalogue of all sources' Iceberg tables, beside their buckets' folders: no bucket has such
a name."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one source's files.

    Attributes:
        bucket: The bucket inventoried.
        source: The source's name, S3 Inventory's "configuration id".
        encodings: How Parquet files are written there; their names tell it.
    """

    bucket: str
    source: str
    encodings: Encodings = Encodings.COMPACT

    @property
    def base(self) -> str:
        """The folder that holds all the rest."""
        return f"{self.bucket}/{self.source}"

    @property
    def csv(self) -> "Layout":
        """Where S3 Inventory in CSV lies, a configuration of its own; no source has such a name."""
        return replace(self, source=f"{self.source}-csv")

    @property
    def data_folder(self) -> str:
        """The folder of the data files."""
        return f"{self.base}/data"

    def data(self, name: str) -> str:
        """A data file."""
        return f"{self.data_folder}/{name}"

    def encodes_like(self, key: str) -> bool:
        """Whether a file that lies under this key is encoded as new ones are."""
        return encodings_of(key) is self.encodings

    def export(self, day: date, suffix: str) -> str:
        """A date's inventory as one file."""
        return f"{self.base}/exports/dt={day}/objects.{suffix}"

    def part(self, digest: str) -> str:
        """An immutable Parquet file, named for its content."""
        return self.data(f"{digest}{self.encodings.suffix}")

    def snapshot(self, day: date, prefix: str) -> str:
        """What a shard held on a date."""
        return f"{self.base}/snapshots/dt={day}/{file_stem(prefix)}.json"

    def checkpoints(self, day: date) -> str:
        """The folder of what unfinished listings of a date have safe."""
        return f"{self.base}/checkpoints/dt={day}"

    def changes(self, day: date, prefix: str) -> str:
        """How a shard differs from the baseline; the record names its Parquet file."""
        return f"{self.base}/changes/dt={day}/{file_stem(prefix)}.json"

    def changed_records(self, digest: str) -> str:
        """The changed records themselves: an immutable Parquet file, named for its content."""
        return f"{self.base}/changes/data/{digest}{self.encodings.suffix}"

    def change_log(self, day: date) -> str:
        """What the change log of a date is made of; no shard's record has this name."""
        return f"{self.base}/changes/dt={day}/change_log.json"

    def change_log_symlink(self, day: date) -> str:
        """The list of the files of a date's change log."""
        return f"{self.base}/changes/hive/dt={day}-00-00/symlink.txt"

    def dated(self, day: date, name: str) -> str:
        """A file of a date's published inventory."""
        return f"{self.base}/{day}T00-00Z/{name}"

    def symlink(self, day: date) -> str:
        """The list of a date's data files that Hive, Athena and people read."""
        return f"{self.base}/hive/dt={day}-00-00/symlink.txt"

    def iceberg(self, table: str) -> str:
        """The folder of what Iceberg itself writes of a table; its data files lie elsewhere."""
        return f"{self.base}/iceberg/{table}"

    @property
    def discovery(self) -> str:
        """What the last discovery found."""
        return f"{self.base}/discovery.json"

    def long_prefix(self, partition_key: str) -> str:
        """Which prefix a partition key stands for that was too long to hold it."""
        return f"{self.base}/prefixes/{file_stem(partition_key)}.json"


def day_of_folder(name: str) -> date | None:
    """The date of a folder of `Layout.dated`, or None for any other name."""
    try:
        return date.fromisoformat(name.removesuffix("T00-00Z")) if name.endswith("Z") else None
    except ValueError:
        return None


def day_of_partition(name: str) -> date | None:
    """The date of a folder named `dt=…`, or None for any other name."""
    try:
        return date.fromisoformat(name.removeprefix("dt=")) if name.startswith("dt=") else None
    except ValueError:
        return None
