"""Opening the catalogue of the Iceberg tables that the configuration names."""

import os
import sys
from pathlib import Path

import pytest

from inventory_assets.config import Iceberg, StoreBucket
from inventory_assets.inventory.errors import IcebergError, PackageMissing
from inventory_assets.inventory.iceberg.sync import TableState, sync_manifest
from inventory_assets.inventory.iceberg.tables import IcebergTables
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets.wiring.results import open_catalog, open_results
from inventory_assets_tests.external_servers import REGION, Endpoint
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

BUCKET = StoreBucket(bucket="results", prefix="daily")


@pytest.fixture
def results(endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreBucket:
    """A bucket for results, whose credentials only a profile knows."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text(
        "[inventories]\n"
        f"aws_access_key_id = {endpoint.account.access_key}\n"
        f"aws_secret_access_key = {endpoint.account.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    if not endpoint.takes_trailers:
        # As docs/iceberg.md says.
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    return StoreBucket(
        bucket=endpoint.make_bucket("results-with-tables"),
        prefix="daily/inventories",
        endpoint_url=endpoint.url,
        region=REGION,
        profile="inventories",
        addressing_style="path",
    )


def show(tables: IcebergTables, keys: list[str]) -> TableState:
    """Publish a date, and let the inventory's table show it."""
    snapshot = snapshot_of(tables.store, Shard(""), listed(keys))
    manifest = merge(tables.store, LAYOUT, "", {"": snapshot}, NOW)
    publish_manifest(tables.store, LAYOUT, manifest)
    return sync_manifest(tables, manifest)


def test_tables_on_a_bucket_use_the_access_settings_of_the_store(
    results: StoreBucket, endpoint: Endpoint, tmp_path: Path
) -> None:
    properties = {"type": "sql", "uri": f"sqlite:///{tmp_path / 'catalog'}"}
    iceberg = Iceberg(catalog="shared", properties=properties)
    tables = IcebergTables(
        open_catalog(results, iceberg), open_results(results), LAYOUT, "inventory"
    )
    states = [show(tables, keys) for keys in (["a/1"], ["a/1", "b"], ["a/1", "b"])]
    file, snapshot_id = states[-1].metadata_file, states[-1].snapshot_id
    assert file.startswith("s3://results-with-tables/daily/inventories/")
    table = open_catalog(results, iceberg).load_table(states[-1].identifier)
    assert [each.snapshot_id for each in table.snapshots()] == [snapshot_id]
    read = table.scan(snapshot_id=snapshot_id).to_arrow()
    assert read.column("key").to_pylist() == ["a/1", "b"]
    names = tables.store.list_names(f"{LAYOUT.iceberg('inventory')}/metadata")
    assert len([name for name in names if name.endswith(".avro")]) == 2
    known = table.metadata.model_dump_json() + (tmp_path / "catalog").read_text("latin-1")
    assert str(DAY) in known
    for secret in {endpoint.account.secret_key} - {"any"}:
        assert secret not in known


def test_without_pyiceberg_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyiceberg.catalog", None)
    with pytest.raises(PackageMissing, match=r"pip install 'inventory-assets\[iceberg\]'"):
        open_catalog(tmp_path, Iceberg())


def test_results_on_a_bucket_have_no_catalogue_by_default() -> None:
    with pytest.raises(IcebergError, match=r"need a catalog in \[iceberg\]"):
        open_catalog(BUCKET, Iceberg())


def test_a_catalogue_that_is_not_configured_is_reported(tmp_path: Path) -> None:
    with pytest.raises(IcebergError, match="the catalogue nowhere cannot be used"):
        open_catalog(tmp_path, Iceberg(catalog="nowhere"))
