"""The files of a migration, on disk, so that memory does not grow with them."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from inventory_assets.inventory.storage.store import StoredFile

_BATCH = 1_000
_TABLES = """
CREATE TABLE files (number INTEGER PRIMARY KEY, stage INTEGER, key TEXT UNIQUE, size INTEGER);
CREATE INDEX by_stage ON files (stage, number);
CREATE TABLE present (key TEXT PRIMARY KEY, size INTEGER);
"""


class FileTable:
    """The files to copy, and those that the destination has; threads may share it.

    Args:
        path: A new file for it.
    """

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._lock = Lock()
        self._database.executescript(
            f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;{_TABLES}"
        )

    def add(self, files: Iterable[tuple[int, StoredFile]]) -> None:
        """Add files to copy, each with the number of its stage."""
        rows = ((stage, file.key, file.size) for stage, file in files)
        self._insert("INSERT OR REPLACE INTO files (stage, key, size) VALUES (?, ?, ?)", rows)

    def add_present(self, files: Iterable[StoredFile]) -> None:
        """Add files that the destination has."""
        rows = ((file.key, file.size) for file in files)
        self._insert("INSERT OR REPLACE INTO present (key, size) VALUES (?, ?)", rows)

    def of_stage(self, stage: int) -> Iterator[tuple[StoredFile, int | None]]:
        """The files of a stage, each with its size in the destination, if it is there."""
        last = 0
        while rows := self._rows(
            "SELECT number, files.key, files.size, present.size FROM files LEFT JOIN present "
            "ON present.key = files.key WHERE stage = ? AND number > ? ORDER BY number LIMIT ?",
            (stage, last, _BATCH),
        ):
            last = rows[-1][0]
            yield from ((StoredFile(key, size), there) for _, key, size, there in rows)

    def has(self, key: str) -> bool:
        """Whether a file is among those to copy."""
        return bool(self._rows("SELECT 1 FROM files WHERE key = ?", (key,)))

    def totals(self) -> tuple[int, int]:
        """The files to copy, and their bytes."""
        ((files, size),) = self._rows("SELECT count(*), coalesce(sum(size), 0) FROM files", ())
        return files, size

    def only_present(self) -> Iterator[str]:
        """The keys that only the destination has, in order."""
        last = ""
        while rows := self._rows(
            "SELECT key FROM present WHERE key > ? AND key NOT IN (SELECT key FROM files) "
            "ORDER BY key LIMIT ?",
            (last, _BATCH),
        ):
            last = rows[-1][0]
            yield from (key for (key,) in rows)

    def _insert(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany(statement, rows)
            self._database.execute("COMMIT")

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, closing(self._database.execute(query, values)) as cursor:
            return cursor.fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
