"""The database of the examples; any other with transactions will do."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import dagster as dg


class Database(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A database in SQLite.

    Attributes:
        path: Its file.
    """

    path: str

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection; at the end of the block everything is committed, or nothing."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            yield connection
