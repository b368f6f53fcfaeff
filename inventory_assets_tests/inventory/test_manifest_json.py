"""`inventory.json`: content, cost and evidence of a date, under a published schema."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inventory_assets.inventory.manifest.manifest import manifest_json_schema
from inventory_assets.inventory.manifest.manifest_merge import (
    merge,
    publish_manifest,
    read_manifest,
)
from inventory_assets.inventory.pricing.price_table import load_prices
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

SCHEMA = Path(__file__).parents[2] / "docs" / "manifest.schema.json"
NEXT_DAY = DAY + timedelta(days=1)
FAULTS = {"": {"throttled": 2, "reset": 1}, "a/": {"throttled": 3}}


def publish(store: LocalStore, *keys: str) -> None:
    """Publish two days; on the second, requests were many and faults were met."""
    baseline = None
    for day in (DAY, NEXT_DAY):
        snapshots = {}
        for prefix in ("", "a/"):
            shard = make_shard(prefix, ["", "a/"])
            snapshot = snapshot_of(store, shard, listed(filter(shard.covers, keys)), day)
            if day == NEXT_DAY:
                snapshot = replace(snapshot, requests=600, faults=FAULTS[prefix])
            snapshots[prefix] = snapshot
        baseline = merge(
            store,
            LAYOUT,
            "",
            snapshots,
            NOW,
            baseline=baseline,
            configuration={"bucket": "bucket", "concurrency": 32, "shards": {"depth": 1}},
        )
        publish_manifest(store, LAYOUT, baseline)


def document_of(store: LocalStore) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(store.read(LAYOUT.manifest(NEXT_DAY)) or b"")
    return document


def test_the_published_schema_is_up_to_date() -> None:
    assert SCHEMA.read_text("utf-8") == json.dumps(manifest_json_schema(), indent=2) + "\n"


@pytest.mark.parametrize("keys", [("a/1", "a/2", "b"), ()], ids=["some objects", "none"])
def test_what_is_published_keeps_to_the_schema(store: LocalStore, keys: tuple[str, ...]) -> None:
    publish(store, *keys)
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document_of(store), schema)


def test_the_schema_names_every_field_that_is_published(store: LocalStore) -> None:
    publish(store, "a/1", "b")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    document = document_of(store)
    assert set(document) == set(schema["properties"])
    assert set(document) - set(schema["required"]) == {"release"}, "older ones have none"
    assert set(document["shards"][0]) == set(schema["$defs"]["ShardEntry"]["properties"])


def test_totals_are_by_storage_class(store: LocalStore) -> None:
    publish(store, "a/1", "a/2", "b")
    document = document_of(store)
    assert (document["rows"], document["object_bytes"]) == (3, 7)
    assert document["classes"] == [{"storage_class": "STANDARD", "objects": 3, "bytes": 7}]


def test_requests_are_priced_and_faults_counted_by_kind(store: LocalStore) -> None:
    publish(store, "a/1", "b")
    document = document_of(store)
    assert document["requests"] == 1200
    assert document["estimated_usd"] == pytest.approx(1.2 * load_prices().list_usd_per_1000)
    assert document["faults"] == {"reset": 1, "throttled": 5}


def test_the_baseline_and_the_configuration_are_on_record(store: LocalStore) -> None:
    publish(store, "a/1", "b")
    document = document_of(store)
    first = read_manifest(store, LAYOUT, DAY)
    assert first is not None
    assert first.baseline is None
    assert document["baseline"] == {"day": str(DAY), "identity": first.identity}
    assert document["configuration"]["concurrency"] == 32


def test_each_shard_names_the_snapshot_that_proves_it(store: LocalStore) -> None:
    publish(store, "a/1", "a/2", "b")
    remainder, shard = document_of(store)["shards"]
    assert remainder["evidence"]["ranges"] == 2
    assert shard["evidence"] == {
        "snapshot": LAYOUT.snapshot(NEXT_DAY, "a/"),
        "ranges": 1,
        "rows": 2,
        "key_order": "bytes",
        "response_bytes": 1,
        "store": "as AWS",
        "seams": {"not compared": 1},
    }
