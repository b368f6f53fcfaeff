"""Answers of a run that is not finished, kept in the store, so that no later run asks again.

Every few seconds, the answers since the last time are written to a file. A run that finds files of
earlier ones carries their rows, as it does those of earlier dates. So whenever a run is killed, the
next one continues, on this machine or another, and for this date or a later one.
"""

import time
from collections.abc import Callable, Sequence
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from inventory_assets.inventory.metadata.known_rows import SortedFile, key_bounds
from inventory_assets.inventory.metadata.metadata_files import metadata_writer
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.storage.layout import Layout, folder_of
from inventory_assets.inventory.storage.prefix_encoding import file_stem
from inventory_assets.inventory.storage.store import Store

INTERVAL_SECONDS = 5.0
"""How often answers are written; a kill loses at most those of this time."""

MAX_ROWS = ROW_GROUP_ROWS
"""Answers that are written even earlier, so that memory is bounded."""


class FetchLog:
    """The answers of unfinished runs for one shard.

    Args:
        store: The store of the results.
        layout: The layout of the source.
        prefix: The prefix of the shard.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        store: Store,
        layout: Layout,
        prefix: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._layout = store, layout
        self._stem = file_stem(prefix)
        self._folder = folder_of(layout.fetched(""))
        self._clock = clock
        # Times sort the files of several runs, the newest of which counts.
        self._run = f"{time.time_ns():020}-{uuid4().hex}"
        self._written = 0
        self._last = clock()
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._names = [
            name for name in store.list_names(self._folder) if _stem_of(name) == self._stem
        ]

    @property
    def files(self) -> list[SortedFile]:
        """The files of earlier runs, the newest first."""
        found = []
        for name in sorted(self._names, reverse=True):
            key = f"{self._folder}/{name}"
            bounds = key_bounds(self._store, key)
            if bounds:
                found.append(SortedFile(key, *bounds))
        return found

    def add(self, tables: Sequence[pa.Table]) -> None:
        """Add answers to the next file."""
        self._waiting += tables
        self._rows += sum(table.num_rows for table in tables)

    @property
    def is_due(self) -> bool:
        """Whether a file is to be written."""
        return self._rows >= MAX_ROWS or self._clock() - self._last >= INTERVAL_SECONDS

    def flush(self, further: Sequence[pa.Table] = ()) -> None:
        """Write the answers that were added, and further ones.

        Raises:
            StoreError, OSError: They cannot be written.
        """
        tables = [*self._waiting, *(each for each in further if each.num_rows)]
        self._last = self._clock()
        if not tables:
            return
        rows = pa.concat_tables(tables)
        rows = rows.take(pc.sort_indices(rows.column("key"))).combine_chunks()
        name = f"{self._stem}~{self._run}-{self._written:06}.parquet"
        with self._store.scratch() as folder:
            path = folder / "fetched.parquet"
            with metadata_writer(path, self._layout.encodings) as writer:
                writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
            self._store.publish_file(self._layout.fetched(name), path)
        self._names.append(name)
        self._written += 1
        self._waiting, self._rows = [], 0

    def clear(self) -> None:
        """Remove the files that were found or written, as what they hold is published."""
        for name in self._names:
            self._store.remove_key(self._layout.fetched(name))
        self._names, self._waiting, self._rows = [], [], 0


def _stem_of(name: str) -> str:
    return name.rpartition("~")[0]
