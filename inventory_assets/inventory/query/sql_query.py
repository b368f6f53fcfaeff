"""Run a SELECT over an inventory with DuckDB, which may read the inventory's files only.

Queries are not trusted: they cannot write, or access other files and the network.
"""

import glob
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

import pyarrow as pa

from inventory_assets.inventory.errors import QueryRefused
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.inventory.query.dataset import Dataset, connect
from inventory_assets.inventory.storage.scratch import ScratchSpace

if TYPE_CHECKING:
    import duckdb


CreateViews = Callable[["duckdb.DuckDBPyConnection"], Sequence[Path]]
"""Creates the views of a session; returns the files that they read."""


class SqlSession:
    """Runs queries over some views.

    Args:
        connection: A connection that cannot reach anything else.
        example: A query that works, for messages.
    """

    def __init__(self, connection: "duckdb.DuckDBPyConnection", example: str) -> None:
        self._connection = connection
        self._example = example

    @contextmanager
    def reader(self, sql: str) -> Iterator[pa.RecordBatchReader]:
        """Stream the result of a query, to be read within the block.

        Args:
            sql: A single SELECT.

        Raises:
            QueryRefused: The query is not a single SELECT, is invalid, or failed.
        """
        import duckdb

        try:
            statements = self._connection.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryRefused(f"a query must be one SELECT, for example: {self._example}")
            yield self._connection.sql(sql).to_arrow_reader(ROW_GROUP_ROWS)
        # Errors while streaming are raised by Arrow.
        except (duckdb.Error, pa.ArrowException) as error:
            first_line = str(error).partition("\n")[0]
            raise QueryRefused(f"the query failed: {first_line}") from None


@contextmanager
def sql_session(create_views: CreateViews, example: str) -> Iterator[SqlSession]:
    """Open a session over some views, which can read their files only.

    Args:
        create_views: Creates the views.
        example: A query that works, for messages.

    Raises:
        QueryRefused: A view cannot be created.
        PackageMissing: DuckDB is not installed.
    """
    space = ScratchSpace(lambda: Path(gettempdir()), "inventory-")
    with closing(connect()) as connection, space.folder() as scratch:
        import duckdb

        try:
            paths = create_views(connection)
            _restrict(connection, paths, str(scratch))
        except (duckdb.Error, pa.ArrowException) as error:
            first_line = str(error).partition("\n")[0]
            raise QueryRefused(f"the inventory cannot be queried: {first_line}") from None
        yield SqlSession(connection, example)


@contextmanager
def query_reader(dataset: Dataset, view: str, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Stream the result of a query, to be read within the block.

    Args:
        dataset: The records to query.
        view: The name of the records in the query.
        sql: A single SELECT.

    Raises:
        QueryRefused: The query is not a single SELECT, is invalid, or failed.
        PackageMissing: DuckDB is not installed.
    """

    def create_view(connection: "duckdb.DuckDBPyConnection") -> Sequence[Path]:
        dataset.relation(connection).create_view(view)
        return dataset.paths

    with sql_session(create_view, f"FROM {view} LIMIT 9") as session, session.reader(sql) as answer:
        yield answer


def _restrict(connection: "duckdb.DuckDBPyConnection", files: Sequence[Path], scratch: str) -> None:
    paths = [str(path) for path in files]
    allowed = [*paths, *map(glob.escape, paths)]
    connection.execute("SET temp_directory = $folder", {"folder": scratch})
    connection.execute("SET allowed_paths = $paths", {"paths": allowed})
    for setting in (
        "python_enable_replacements = false",  # otherwise a query could read Python variables
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
