"""Fixtures of the tests of stored results."""

import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from inventory_assets.inventory.iceberg.tables import IcebergTables


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="module")
def roomy_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """A store for the many examples of a property: nothing is flushed to the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_store, "_flush", lambda _path: None)
        yield LocalStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """Spark, with Hive's tables in memory; it takes long to start."""
    from pyspark.sql import SparkSession

    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        pytest.skip("Spark needs Java 17 or later, and there is no Java here")
    folder = tmp_path_factory.mktemp("spark")
    settings: dict[str, bool | float | int | str | None] = {
        "spark.master": "local[1]",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC "
        f"-Dderby.stream.error.file={folder}/derby.log",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:hive;create=true",
        # As it is by default in Hive, and on Athena: a date without objects has no files.
        "spark.hadoopRDD.ignoreEmptySplits": False,
        "spark.log.level": "ERROR",
        # To the serde of CSV every column is text, whatever the table says.
        "spark.hadoop.hive.metastore.disallow.incompatible.col.type.changes": False,
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        session = SparkSession.builder.config(map=settings).getOrCreate()
        yield session
        session.stop()


@pytest.fixture
def tables(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> "IcebergTables":
    """The Iceberg tables of a store; nothing is flushed to the disk, and no one waits long."""
    from inventory_assets.inventory.iceberg import tables
    from inventory_assets_tests.inventory.tables import tables_in

    monkeypatch.setattr(local_store, "_flush", lambda _path: None)
    monkeypatch.setattr(tables, "_LONGEST_WAIT_SECONDS", 0.2)
    return tables_in(store)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What the package logs for the user."""
    caplog.set_level(logging.INFO, "inventory_assets")
    return caplog
