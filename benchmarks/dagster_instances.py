"""Instances of Dagster for benchmarks: with SQLite in a folder, or in a database of PostgreSQL."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import sqlalchemy as sa


@contextmanager
def opened_instance(folder: Path, database: str | None) -> Iterator[dg.DagsterInstance]:
    """An instance whose home is a folder, with SQLite in it or in a new database of PostgreSQL.

    Args:
        folder: The folder.
        database: The URL of the database, which is made anew; None for SQLite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if database:
        server, _, name = database.rpartition("/")
        engine = sa.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        text = (folder / "dagster.yaml").read_text() if (folder / "dagster.yaml").exists() else ""
        text = re.sub(r"(?ms)^storage:.*?(?=^\S|\Z)", "", text)
        (folder / "dagster.yaml").write_text(
            f"storage:\n  postgres:\n    postgres_url: {database}\n\n{text}"
        )
    elif not (folder / "dagster.yaml").exists():
        (folder / "dagster.yaml").touch()
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance


def history_bytes(folder: Path, database: str | None) -> int:
    """The size of an instance's history: its files of SQLite, or its database."""
    if database is None:
        return bytes_of(folder / "history")
    with sa.create_engine(database).connect() as connection:
        return int(
            connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
        )


def bytes_of(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
