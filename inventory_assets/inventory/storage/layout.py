"""Where the files of a source lie in the store.

The dated folders, `data/` and `hive/` follow the layout of S3 Inventory
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html). The other
folders belong to this project.
"""

import re
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from functools import cached_property

from inventory_assets.inventory.storage.encodings import Encodings, encodings_of
from inventory_assets.inventory.storage.prefix_encoding import file_stem

ICEBERG_CATALOG = "_iceberg.sqlite"
"""The catalogue of the Iceberg tables of all sources, beside the folders of their buckets. No
bucket can have this name."""


class FileKind(StrEnum):
    """The kinds of files in the folder of a source.

    Each value is a template of the paths of its files, relative to that folder: it renders a path
    and parses one. `{day}` is a date, `{name}` a file name, `{listing}` the name of a shared
    listing. Where two templates match a path, the first one counts.
    """

    MANIFEST = "{day}T00-00Z/inventory.json"
    S3_MANIFEST = "{day}T00-00Z/manifest.json"
    CHECKSUM = "{day}T00-00Z/manifest.checksum"
    SYMLINK = "hive/dt={day}-00-00/symlink.txt"
    SUPERSEDED = "superseded/dt={day}/{name}.json"
    HELD = "held/dt={day}/held.json"
    SNAPSHOT = "snapshots/dt={day}/{name}.json"
    DATE_RUN = "runs/dt={day}/date_run.json"
    SHARD_RUN = "runs/dt={day}/{name}.json"
    CHANGE_LOG = "changes/dt={day}/change_log.json"
    CHANGES = "changes/dt={day}/{name}.json"
    CHANGE_LOG_SYMLINK = "changes/hive/dt={day}-00-00/symlink.txt"
    CHECKPOINT = "checkpoints/dt={day}/{name}.json"
    USAGE = "usage/dt={day}/usage.json"
    EXPORT = "exports/dt={day}/{name}"
    DATA = "data/{name}"
    CHANGED_RECORDS = "changes/data/{name}"
    USAGE_DATA = "usage/data/{name}"
    PART_USAGE = "usage/parts/{name}"
    METADATA = "metadata/dt={day}/{name}.json"
    METADATA_DATA = "metadata/data/{name}"
    FETCHED_METADATA = "metadata/fetched/{name}"
    HYGIENE = "usage/dt={day}/hygiene.json"
    PART_FINDINGS = "usage/findings/{name}"
    LIFECYCLE = "usage/dt={day}/lifecycle.json"
    REPORT = "reports/dt={day}/report.html"
    DISCOVERY = "discovery.json"
    LONG_PREFIX = "prefixes/{name}.json"
    SOURCE = "source.json"
    RETIREMENT = "retired/{name}.json"
    SHARED_LISTING = "work/dt={day}/{name}.json"
    SHARED_RANGE = "work/dt={day}/{listing}/ranges/{name}.json"
    SHARED_CHECKPOINT = "work/dt={day}/{listing}/checkpoints/{name}.json"
    SHARED_SUMMARY = "work/dt={day}/{listing}/summaries/{name}"
    SHARED_WISH = "work/dt={day}/{listing}/wanted/{name}"

    def path(self, day: date | None = None, name: str = "") -> str:
        """The path of a file of this kind, but of none below a shared listing."""
        return self.format(day=day, name=name)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        day, name = r"(?P<day>\d{4}-\d\d-\d\d)", "[^/]+"
        pattern = re.escape(self).replace(r"\{day\}", day).replace(r"\{name\}", name)
        pattern = pattern.replace(r"\{listing\}", "[^/]+")
        return re.compile(pattern, re.DOTALL)


@dataclass(frozen=True, slots=True)
class ParsedPath:
    """The information in the path of a file.

    Attributes:
        kind: The kind of the file.
        day: The date that it belongs to; None for a kind without a date.
    """

    kind: FileKind
    day: date | None


def parse_path(path: str) -> ParsedPath | None:
    """Parse a path relative to the folder of a source; None if it is of no known kind."""
    for kind in FileKind:
        found = kind._pattern.fullmatch(path)  # noqa: SLF001
        if found:
            try:
                day = found.groupdict().get("day")
                return ParsedPath(kind, date.fromisoformat(day) if day else None)
            except ValueError:
                return None
    return None


def path_in_source(key: str) -> str:
    """The path of a key, relative to the folder of its source."""
    return key.split("/", 2)[-1]


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of the files of one source.

    Attributes:
        bucket: The bucket that is inventoried.
        source: The name of the source, which S3 Inventory calls "configuration id".
        encodings: The encodings of Parquet files, which the suffix of their names shows.
    """

    bucket: str
    source: str
    encodings: Encodings = Encodings.COMPACT

    @property
    def base(self) -> str:
        """The folder of the source, which holds all other files."""
        return f"{self.bucket}/{self.source}"

    @property
    def csv(self) -> "Layout":
        """The layout of the inventory in CSV, a configuration of its own beside the source."""
        return replace(self, source=f"{self.source}-csv")

    def _key(self, kind: FileKind, day: date | None = None, name: str = "") -> str:
        return f"{self.base}/{kind.path(day, name)}"

    @property
    def data_folder(self) -> str:
        """The folder of the data files."""
        return folder_of(self.data(""))

    def data(self, name: str) -> str:
        """A data file."""
        return self._key(FileKind.DATA, name=name)

    def encodes_like(self, key: str) -> bool:
        """Whether a file with this key is encoded as new files are."""
        return encodings_of(key) is self.encodings

    def export(self, day: date, suffix: str) -> str:
        """The inventory of a date in one file."""
        return self._key(FileKind.EXPORT, day, f"objects.{suffix}")

    def part(self, digest: str) -> str:
        """An immutable Parquet file, named for its content."""
        return self.data(f"{digest}{self.encodings.suffix}")

    def snapshot(self, day: date, prefix: str) -> str:
        """The snapshot of a shard on a date."""
        return self._key(FileKind.SNAPSHOT, day, file_stem(prefix))

    def shard_run(self, day: date, prefix: str) -> str:
        """The run record of a shard's listing for a date."""
        return self._key(FileKind.SHARD_RUN, day, file_stem(prefix))

    def date_run(self, day: date) -> str:
        """The run record of a date; no run record of a shard can have this name."""
        return self._key(FileKind.DATE_RUN, day)

    def checkpoints(self, day: date) -> str:
        """The folder of the checkpoints of a date's unfinished listings."""
        return folder_of(self._key(FileKind.CHECKPOINT, day))

    def shared_listing(self, day: date, prefix: str) -> str:
        """The record of the listing of a shard that several runs share."""
        return self._key(FileKind.SHARED_LISTING, day, file_stem(prefix))

    def shared_work(self, day: date) -> str:
        """The folder of the records of a date's shared listings."""
        return folder_of(self.shared_listing(day, ""))

    def changes(self, day: date, prefix: str) -> str:
        """The record of a shard's changes, which names the Parquet file that holds them."""
        return self._key(FileKind.CHANGES, day, file_stem(prefix))

    def changed_records(self, digest: str) -> str:
        """An immutable Parquet file of changed records, named for its content."""
        return self._key(FileKind.CHANGED_RECORDS, name=f"{digest}{self.encodings.suffix}")

    def change_log(self, day: date) -> str:
        """The change log of a date; no record of changes can have this name."""
        return self._key(FileKind.CHANGE_LOG, day)

    def change_log_symlink(self, day: date) -> str:
        """The list of the URIs of the files of a date's change log."""
        return self._key(FileKind.CHANGE_LOG_SYMLINK, day)

    def usage(self, day: date) -> str:
        """The record of a date's usage, which names its tables."""
        return self._key(FileKind.USAGE, day)

    def usage_data(self, digest: str) -> str:
        """A table of a date's usage, named for its content."""
        return self._key(FileKind.USAGE_DATA, name=f"{digest}{self.encodings.suffix}")

    def part_usage(self, part: str) -> str:
        """The usage of a part, which has the name of the part's file."""
        return self._key(FileKind.PART_USAGE, name=part.rpartition("/")[2])

    def metadata(self, day: date, prefix: str) -> str:
        """The record of a shard's metadata, which names its files."""
        return self._key(FileKind.METADATA, day, file_stem(prefix))

    def metadata_data(self, digest: str) -> str:
        """An immutable Parquet file of metadata, named for its content."""
        return self._key(FileKind.METADATA_DATA, name=f"{digest}{self.encodings.suffix}")

    def fetched(self, name: str) -> str:
        """A file of answers of a run that is not finished."""
        return self._key(FileKind.FETCHED_METADATA, name=name)

    def manifest(self, day: date) -> str:
        """The manifest of a date, `inventory.json`."""
        return self._key(FileKind.MANIFEST, day)

    def superseded(self, day: date, identity: str) -> str:
        """A manifest of a date that was published again since, by its identity."""
        return self._key(FileKind.SUPERSEDED, day, identity)

    def held(self, day: date) -> str:
        """The record of a date that the gate held."""
        return self._key(FileKind.HELD, day)

    def s3_manifest(self, day: date) -> str:
        """The manifest of a date as S3 Inventory writes it, `manifest.json`."""
        return self._key(FileKind.S3_MANIFEST, day)

    def checksum(self, day: date) -> str:
        """The checksum of `manifest.json`."""
        return self._key(FileKind.CHECKSUM, day)

    def symlink(self, day: date) -> str:
        """The list of the URIs of a date's data files, for Hive and Athena."""
        return self._key(FileKind.SYMLINK, day)

    def hygiene(self, day: date) -> str:
        """The hygiene report of a date."""
        return self._key(FileKind.HYGIENE, day)

    def lifecycle(self, day: date) -> str:
        """What lifecycle rules would do to a date's inventory."""
        return self._key(FileKind.LIFECYCLE, day)

    def report(self, day: date) -> str:
        """The page that shows a date's inventory to people."""
        return self._key(FileKind.REPORT, day)

    def part_findings(self, part: str) -> str:
        """The findings of a part, under the name of its file."""
        return self._key(FileKind.PART_FINDINGS, name=part.rpartition("/")[2])

    def iceberg(self, table: str) -> str:
        """The folder of the files that Iceberg itself writes for a table."""
        return f"{self.base}/iceberg/{table}"

    @property
    def source_record(self) -> str:
        """The record of what is inventoried in this folder."""
        return self._key(FileKind.SOURCE)

    @property
    def discovery(self) -> str:
        """The result of the last discovery."""
        return self._key(FileKind.DISCOVERY)

    def long_prefix(self, partition_key: str) -> str:
        """The record of a prefix that is too long for its partition key."""
        return self._key(FileKind.LONG_PREFIX, name=file_stem(partition_key))

    def retirement(self, partition_key: str) -> str:
        """The record of a retired shard."""
        return self._key(FileKind.RETIREMENT, name=file_stem(partition_key))


def folder_of(key: str) -> str:
    """The folder of a file."""
    return key.rpartition("/")[0]


def day_of_folder(name: str) -> date | None:
    """The date of a folder such as `2026-05-05T00-00Z`, or None for any other name."""
    parsed = parse_path(f"{name}/inventory.json")
    return parsed.day if parsed else None


def day_of_partition(name: str) -> date | None:
    """The date of a folder such as `dt=2026-05-05`, or None for any other name."""
    parsed = parse_path(f"snapshots/{name}/any.json")
    return parsed.day if parsed else None
