"""Two days of a bucket through Dagster: every key accounted for, and exactly the changes made."""

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import zstandard

import inventory_assets
from inventory_assets.config import Config, Schedule, Shards, Source
from inventory_assets.definitions import build_definitions
from inventory_assets.defs.source.context import SourceAssets
from inventory_assets.defs.source.resources import Clock
from inventory_assets.inventory.manifest.manifest_merge import read_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan import directory_order_scan, habit_probe, prefix_search
from inventory_assets_tests.external_servers import Endpoint, Ministack, SeaweedFS, ServerProcess
from inventory_assets_tests.servers.inventories import (
    ObjectFields,
    body_of,
    expected_fields,
    real_names,
)

REPOSITORY = Path(inventory_assets.__file__).parents[1]
NAMES_VARIABLE = "INVENTORY_KEY_NAMES"
EVERY = 6
"""Of 600,000 real names, 100,000 are put."""

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@dataclass(frozen=True, slots=True)
class Night:
    """The changes of a bucket between two inventories."""

    created: Mapping[str, bytes]
    modified: Mapping[str, bytes]
    touched: Mapping[str, bytes]
    deleted: Sequence[str]

    @classmethod
    def over(cls, objects: Mapping[str, bytes]) -> "Night":
        """A night that befalls every hundredth key or so, and brings a new prefix."""
        keys = sorted(objects)
        return cls(
            created={f"{key} (new)": b"new" for key in keys[7::97]} | {"0/new/prefix": b"new"},
            modified={key: b"modified " + objects[key] for key in keys[11::97]},
            touched={key: objects[key] for key in keys[13::97]},
            deleted=keys[17::97],
        )

    def fall(self, endpoint: Endpoint, bucket: str) -> None:
        time.sleep(1.1)  # some stores keep LastModified to the second
        endpoint.put(bucket, {**self.created, **self.modified, **self.touched})
        endpoint.delete(bucket, self.deleted)

    def after(self, objects: Mapping[str, bytes]) -> dict[str, bytes]:
        """The bucket's objects after the changes."""
        left = {key: body for key, body in objects.items() if key not in set(self.deleted)}
        return {**left, **self.created, **self.modified}

    @property
    def changes(self) -> dict[str, str]:
        """The change of each key that was changed."""
        return {
            **dict.fromkeys(self.created, "created"),
            **dict.fromkeys(self.modified, "modified"),
            **dict.fromkeys(self.touched, "touched"),
            **dict.fromkeys(self.deleted, "deleted"),
        }


class Daily:
    """A source's inventories, materialized day by day as the schedule and automation do it."""

    def __init__(
        self,
        endpoint: Endpoint,
        bucket: str,
        store: Path,
        start: date,
        depth: int,
        instance: dg.DagsterInstance,
    ) -> None:
        source = Source(
            name="daily",
            bucket=bucket,
            endpoint_url=endpoint.url,
            shards=Shards(depth=depth),
            schedule=Schedule(start_date=start),
        )
        self._store = LocalStore(store)
        self._config = Config(store=store, sources={"daily": source})
        self._assets = SourceAssets(source)
        self._instance = instance

    def run(self, day: date) -> None:
        """Materialize the day's listing of all shards, its changes, manifest and change log."""
        clock = Clock(fixed=datetime.combine(day, datetime.min.time(), UTC).isoformat())
        self._run(clock, "shards")
        shards = self._instance.get_dynamic_partitions(self._assets.partitions.shards_name)
        tags = self._assets.partitions.range_tags(day, list(shards))
        self._run(clock, "object_listing", tags=tags)
        self._run(clock, "object_changes", tags=tags)
        self._run(clock, "inventory_manifest", partition_key=day.isoformat())
        self._run(clock, "change_log", partition_key=day.isoformat())

    def fields(self, day: date) -> list[ObjectFields]:
        """The content of the day's published files, read by their readers."""
        store, layout = self._store, self._assets.layout
        assert read_manifest(store, layout, day) is not None
        files = store.path(layout.symlink(day)).read_text().splitlines()
        return [
            row
            for file in files
            for row in pl.read_parquet(file, columns=["key", "size", "e_tag"]).iter_rows()
        ]

    def changes(self, day: date) -> dict[str, str]:
        """The change of each key, as the day's change log has it."""
        store, layout = self._store, self._assets.layout
        files = store.path(layout.change_log_symlink(day)).read_text().splitlines()
        rows = pl.read_parquet(files, columns=["key", "change"]).rows()
        changes = dict(rows)
        assert len(changes) == len(rows), "a key was changed twice"
        return changes

    def _run(
        self,
        clock: Clock,
        name: str,
        partition_key: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        result = (
            build_definitions(self._config, clock)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                instance=self._instance,
                asset_selection=[self._assets.key(name)],
                partition_key=partition_key,
                tags=tags,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
        )
        assert result.success
        failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
        assert failed == []


def assert_two_days_are_accounted_for(
    endpoint: Endpoint,
    names: Sequence[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    depth: int,
    connections: int,
    open_instance: Callable[[], dg.DagsterInstance],
) -> None:
    for name, value in endpoint.account.environment.items():
        monkeypatch.setenv(name, value)
    today = datetime.now(UTC).date()
    yesterday = today - timedelta(days=1)
    objects = {name: body_of(name) for name in names}
    night = Night.over(objects)
    endpoint.make_bucket("two-days")
    endpoint.put("two-days", objects, connections)
    with open_instance() as instance:
        daily = Daily(endpoint, "two-days", folder / "store", yesterday, depth, instance)
        daily.run(yesterday)
        night.fall(endpoint, "two-days")
        daily.run(today)

    assert daily.fields(yesterday) == expected_fields(objects)
    assert daily.fields(today) == expected_fields(night.after(objects))
    assert daily.changes(yesterday) == {}
    assert daily.changes(today) == night.changes


def test_two_days_of_2000_real_names_are_accounted_for_key_by_key(
    ministack: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_two_days_are_accounted_for(
        ministack,
        real_names()[:2000],
        tmp_path,
        monkeypatch,
        depth=1,
        connections=4,
        open_instance=dg.DagsterInstance.ephemeral,
    )


def test_a_store_that_turns_out_to_list_by_directory_is_inventoried_all_the_same(
    seaweedfs: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As behind a proxy, which does not say `Server: SeaweedFS`.
    for module in (prefix_search, directory_order_scan, habit_probe):
        monkeypatch.setattr(module, "DIRECTORY_SERVERS", ("no such make",))
    for name, value in seaweedfs.account.environment.items():
        monkeypatch.setenv(name, value)
    objects = {key: body_of(key) for key in ("one/two/a/1", "one/two/a-b", "one/two/a/2", "three")}
    seaweedfs.make_bucket("turns-out-daily", objects)
    today = datetime.now(UTC).date()
    with dg.DagsterInstance.ephemeral() as instance:
        daily = Daily(seaweedfs, "turns-out-daily", tmp_path, today, 1, instance)
        daily.run(today)

    assert daily.fields(today) == expected_fields(objects)


@pytest.fixture(scope="module")
def all_names() -> list[str]:
    """The 600,000 paths of Debian's files, which are too many to be part of this project."""
    beside = REPOSITORY.parent / "shared" / "data" / "debian-paths.txt.zst"
    file = Path(os.environ.get(NAMES_VARIABLE, beside))
    if not file.is_file():
        pytest.skip(
            f"{file} is not there; name a list of keys, a line each (.zst or plain), in "
            f"{NAMES_VARIABLE}"
        )
    data = file.read_bytes()
    if file.suffix == ".zst":
        with zstandard.ZstdDecompressor().stream_reader(data) as reader:
            data = reader.read()
    return [name for name in data.decode().split("\n") if name]


@pytest.mark.slow
@pytest.mark.parametrize("server", [Ministack, SeaweedFS])
def test_two_days_of_100000_real_names_are_accounted_for_key_by_key(
    server: type[ServerProcess],
    all_names: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = list(dict.fromkeys(all_names[::EVERY]))
    with server(tmp_path / "server") as started:
        assert_two_days_are_accounted_for(
            started.endpoint,
            names,
            tmp_path,
            monkeypatch,
            depth=2,
            connections=16,
            open_instance=dg.DagsterInstance.local_temp,
        )
    # For `pytest -s`.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{server.__name__}: {len(names):,} names, peak RSS {peak / 1024:,.0f} MiB")
