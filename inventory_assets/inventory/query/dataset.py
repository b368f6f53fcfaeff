"""Open an inventory or listing as a Polars LazyFrame, DuckDB relation or sorted Arrow batches.

>>> logs = Dataset.at("data/inventory/acme-logs/logs")  # the newest date
>>> logs.with_prefix("2026/11/").scan().select(pl.sum("size")).collect()

All three skip data that cannot contain the requested keys: files by the manifest, row groups by
their statistics.
"""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from inventory_assets.inventory.changes.change_log import ChangeLog
from inventory_assets.inventory.changes.changed_records import open_changed_records
from inventory_assets.inventory.changes.journal_format import CHANGE_SCHEMA
from inventory_assets.inventory.errors import InventoryNotFound, PackageMissing, QueryRefused
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.metadata.date_metadata import MetadataFile
from inventory_assets.inventory.parts.part import Part, open_part, read_records
from inventory_assets.inventory.parts.schema import RECORD_SCHEMA, VERSION_RECORD_SCHEMA
from inventory_assets.inventory.query.change_records import (
    CREATED,
    Days,
    change_logs,
    change_logs_since,
    files_of,
    only_created,
    read_log,
)
from inventory_assets.inventory.query.joined_listing import (
    URL_START,
    finished_listing,
    open_joined_store,
)
from inventory_assets.inventory.query.listing_folder import parts_of_listing
from inventory_assets.inventory.query.metadata_frame import metadata_files_of, metadata_frame
from inventory_assets.inventory.query.parquet_frame import files_dataset, lazy_frame, with_prefix
from inventory_assets.inventory.query.published_inventory import published_manifest
from inventory_assets.inventory.storage.layout import Layout, day_of_folder
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets.inventory.usage.date_usage import DateUsage, UsageTable, read_usage
from inventory_assets.inventory.usage.schema import PREFIX_SCHEMA, USAGE_SCHEMA
from inventory_assets.inventory.usage.usage_files import open_table
from inventory_assets.scan.keyspace.key_range import KeyRange

if TYPE_CHECKING:
    import duckdb
    import polars as pl


@dataclass(frozen=True, slots=True)
class Dataset:
    """Records, sorted by key, in Parquet files.

    Attributes:
        store: The store of the files.
        parts: The files, in key order.
        prefix: Only keys with this prefix are read.
        schema: The schema of the records: `RECORD_SCHEMA` or `VERSION_RECORD_SCHEMA`.
        layout: The source whose inventory this is, which has change logs; None for other files.
        day: The date of that inventory; None for other files.
        identity: The identity of its manifest; None for other files.
    """

    store: Store
    parts: tuple[Part, ...]
    prefix: str = ""
    schema: pa.Schema = RECORD_SCHEMA
    layout: Layout | None = None
    day: date | None = None
    identity: str | None = None

    @classmethod
    def of_manifest(cls, store: Store, manifest: Manifest) -> "Dataset":
        """All records of a manifest."""
        return cls(store, manifest.parts, schema=manifest.schema)

    @classmethod
    def of_date(cls, store: Store, layout: Layout, day: date | None = None) -> "Dataset":
        """A source's inventory of a date, or its newest inventory.

        Raises:
            InventoryNotFound: No inventory was published.
        """
        manifest = published_manifest(store, layout, day)
        inventory = cls.of_manifest(store, manifest)
        return replace(inventory, layout=layout, day=manifest.day, identity=manifest.identity)

    @classmethod
    def of_listing(cls, folder: Path) -> "Dataset":
        """A folder written by `inventory list`.

        Raises:
            InventoryNotFound: It has no Parquet files, or its listing is not finished.
            CorruptRecord: The files do not belong to one sorted listing.
        """
        store = LocalStore(folder)
        parts, schema = parts_of_listing(store, folder)
        return cls(store, parts, schema=schema)

    @classmethod
    def of_shared_listing(cls, store: Store) -> "Dataset":
        """The result of `inventory list --join`, in the store that its URL names.

        Raises:
            InventoryNotFound: There is none, or the listing is not finished.
            CorruptRecord: Its record is damaged.
            StoreError: It cannot be read.
        """
        listing, result = finished_listing(store)
        schema = VERSION_RECORD_SCHEMA if listing.request.versions else RECORD_SCHEMA
        return cls(store, result.parts, schema=schema)

    @classmethod
    def at(cls, path: str | Path) -> "Dataset":
        """Open an inventory or listing by path.

        Args:
            path: A date's folder or its `manifest.json`, a source's folder (for its newest date),
                a folder written by `inventory list`, or the URL (`s3://…`) of a shared listing,
                which is read with boto3's credentials and endpoint.

        Raises:
            InventoryNotFound: The path is none of these.
            CorruptRecord: The files do not belong to one listing.
            StoreError: The bucket of a URL cannot be read.
        """
        if str(path).startswith(URL_START):
            return cls.of_shared_listing(open_joined_store(str(path)))
        path = Path(path).absolute()
        folder = path.parent if path.name == "manifest.json" else path
        day = day_of_folder(folder.name)
        base = folder.parent if day else folder
        is_source = day or (base / "hive").is_dir()
        if not is_source or len(base.parts) < 3:
            return cls.of_listing(folder)
        store = LocalStore(base.parent.parent)
        return cls.of_date(store, Layout(base.parent.name, base.name), day)

    def with_prefix(self, prefix: str) -> "Dataset":
        """The records with a prefix, without the files that have none of them."""
        key_range = KeyRange.of_prefix(prefix)
        parts = tuple(part for part in self.parts if part.meets(key_range))
        return replace(self, parts=parts, prefix=prefix)

    @property
    def uris(self) -> list[str]:
        """The URIs of the files, in key order."""
        return [self.store.uri(part.key) for part in self.parts]

    @property
    def paths(self) -> list[Path]:
        """The paths of the files, in key order; empty for a store on a bucket."""
        store = self.store
        return [store.path(p.key) for p in self.parts] if isinstance(store, LocalStore) else []

    @property
    def bucket(self) -> str:
        """The bucket that was listed; "" without records."""
        batch = next(self.batches(["bucket", "key"]), None)
        return batch.column("bucket")[0].as_py() if batch else ""

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The records in key order, one row group at a time.

        Args:
            columns: The columns, including `key`; None for all.
        """
        ranges = [KeyRange.of_prefix(self.prefix)]
        return read_records(self.store, self.parts, ranges, columns)

    def scan(self) -> "pl.LazyFrame":
        """A Polars LazyFrame; filters and selections on it are pushed down to the files."""
        keys = [part.key for part in self.parts]
        return with_prefix(lazy_frame(self.store, keys, self.schema, self._open_parts), self.prefix)

    def relation(self, connection: "duckdb.DuckDBPyConnection") -> "duckdb.DuckDBPyRelation":
        """A DuckDB relation; filters and projections on it are pushed down to the files.

        Args:
            connection: A connection, such as from `connect`.
        """
        import duckdb

        if not self.parts:
            return connection.from_arrow(self.schema.empty_table())
        if self.paths:
            # Names may contain characters of glob patterns and Hive partitions.
            files = [glob.escape(str(path)) for path in self.paths]
            relation = connection.read_parquet(files, hive_partitioning=False)
        else:
            relation = connection.from_arrow(files_dataset(self._open_parts(), self.schema))
        if not self.prefix:
            return relation
        bounds = (self.prefix, KeyRange.of_prefix(self.prefix).until)
        key = duckdb.ColumnExpression("key")
        return relation.filter(key.between(*map(duckdb.ConstantExpression, bounds)))

    def usage(self) -> "pl.LazyFrame":
        """Objects and bytes by prefix, storage class, size band, month and state.

        The columns are those of `USAGE_SCHEMA` (docs/usage.md). Rows are cumulative: those of the
        prefix "" are the whole inventory. A dataset `with_prefix` has only the prefixes that begin
        with it.

        Raises:
            InventoryNotFound: `prefix_usage` was not materialized for the date, or not since its
                inventory was published again.
            QueryRefused: The dataset is no inventory of a source.
        """
        return self._scan_usage(self._usage.aggregate, USAGE_SCHEMA)

    def usage_by_prefix(self) -> "pl.LazyFrame":
        """Objects and bytes of each prefix, and what changed, with `PREFIX_SCHEMA`.

        Raises:
            InventoryNotFound: As for `usage`.
            QueryRefused: Likewise.
        """
        return self._scan_usage(self._usage.by_prefix, PREFIX_SCHEMA)

    @property
    def _usage(self) -> DateUsage:
        if self.layout is None or self.day is None:
            raise QueryRefused(
                "this dataset is no inventory of a source, so it has no usage; open a source's "
                "folder"
            )
        usage = read_usage(self.store, self.layout, self.day)
        if usage is None or usage.manifest_identity != self.identity:
            state = "is older than its inventory" if usage else "was not published"
            raise InventoryNotFound(
                f"the usage of {self.layout.source} on {self.day} {state}; materialize "
                "prefix_usage for this date"
            )
        return usage

    def _scan_usage(self, table: UsageTable, schema: pa.Schema) -> "pl.LazyFrame":
        def open_files() -> list[pa.NativeFile]:
            return [open_table(self.store, table.key)]

        frame = lazy_frame(self.store, [table.key], schema, open_files)
        return with_prefix(frame, self.prefix, "prefix")

    def metadata(self) -> "pl.LazyFrame":
        """What was asked of each object of the inventory, with `METADATA_SCHEMA`.

        There is one row for each object or version (docs/metadata.md), to be joined by `key`, and
        `version_id` where versions are listed. `fetched_at` is null where the bucket is still to be
        asked.

        Raises:
            InventoryNotFound: `object_metadata` was not materialized for all shards of the date,
                or not since they were listed.
            QueryRefused: The dataset is no inventory of a source.
        """
        return metadata_frame(self.store, self.metadata_files(), self.prefix)

    def metadata_files(self) -> list[MetadataFile]:
        """The files of `metadata`, without those that have no key with the prefix; raises alike."""
        if self.layout is None or self.day is None or self.identity is None:
            raise QueryRefused(
                "this dataset is no inventory of a source, so it has no metadata; open a source's "
                "folder"
            )
        return metadata_files_of(self.store, self.layout, self.day, self.identity, self.prefix)

    def changes(self, days: Days) -> "pl.LazyFrame":
        """What changed on a date of the source, or on the dates of a range.

        The records are those of the change logs (docs/changes.md): one for each key and date on
        which the key differs from the baseline of the date. `sequence_number` is the date. In a
        range, a date that was not listed is covered by the next one. Records are sorted by date
        only.

        Args:
            days: A date, or the first and the last date. They need not be the date of this dataset.

        Raises:
            InventoryNotFound: A date was removed or never published, or its change log is missing
                or outdated.
            QueryRefused: The dataset is no inventory of a source, or the range is empty.
        """
        return self._scan_logs(change_logs(self.store, self._source, days))

    def created(self, days: Days | None = None, *, since: date | None = None) -> "pl.LazyFrame":
        """The objects that were created or modified: the key is new, or its ETag or size differs.

        These are records of `changes` with `change` created or modified. A first inventory has
        none, because it has no baseline. An object that was modified on two dates has two records.

        Args:
            days: A date, or the first and the last date.
            since: Instead, a date with an inventory: all changes after it, up to the newest log.

        Raises:
            InventoryNotFound: As for `changes`.
            QueryRefused: Likewise; or both or none of the arguments are given.
        """
        import polars as pl

        frame = self._scan_logs(self._logs(days, since))
        return frame.filter(pl.col("change").is_in(list(CREATED)))

    def change_batches(self, days: Days) -> Iterator[pa.RecordBatch]:
        """The records of `changes`, by date and in key order, in bounded memory."""
        return self._read_logs(change_logs(self.store, self._source, days))

    def created_batches(
        self, days: Days | None = None, *, since: date | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The records of `created`, by date and in key order, in bounded memory."""
        return only_created(self._read_logs(self._logs(days, since)))

    @property
    def _source(self) -> Layout:
        if self.layout is None:
            raise QueryRefused(
                "this dataset is no inventory of a source, so it has no change logs; open a "
                "source's folder, or compare two datasets with changes_between"
            )
        return self.layout

    def _logs(self, days: Days | None, since: date | None) -> list[ChangeLog]:
        if since is not None and days is None:
            return change_logs_since(self.store, self._source, since)
        if days is not None and since is None:
            return change_logs(self.store, self._source, days)
        raise QueryRefused("created needs either a date or range, or since=")

    def _read_logs(self, logs: Sequence[ChangeLog]) -> Iterator[pa.RecordBatch]:
        within = KeyRange.of_prefix(self.prefix)
        for log in logs:
            yield from read_log(self.store, log, within)

    def _scan_logs(self, logs: Sequence[ChangeLog]) -> "pl.LazyFrame":
        keys = files_of(logs)

        def open_files() -> list[pa.NativeFile]:
            return [open_changed_records(self.store, key) for key in keys]

        return with_prefix(lazy_frame(self.store, keys, CHANGE_SCHEMA, open_files), self.prefix)

    def _open_parts(self) -> list[pa.NativeFile]:
        return [open_part(self.store, part) for part in self.parts]


def connect() -> "duckdb.DuckDBPyConnection":
    """A DuckDB connection with an in-memory database and times in UTC.

    Raises:
        PackageMissing: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise PackageMissing(
            "this needs DuckDB, which is not installed; install it: "
            "pip install 'inventory-assets[duckdb]'"
        ) from None
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection
