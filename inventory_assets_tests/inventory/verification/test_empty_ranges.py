"""The ranges in which a listing found nothing."""

from dataclasses import replace

from inventory_assets.inventory.manifest.manifest_merge import merge
from inventory_assets.inventory.manifest.snapshot import publish_snapshot
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.verification.findings import Finding
from inventory_assets.inventory.verification.targets import EMPTY_RANGES, VerificationTarget
from inventory_assets.inventory.verification.verification import verify
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.inventory.samples import LAYOUT, NOW, listed, snapshot_of
from inventory_assets_tests.inventory.verification.verified import chance


def manifest_with(store: LocalStore, keys: list[str], prefixes: list[str]) -> VerificationTarget:
    snapshots = {}
    for prefix in prefixes:
        shard = make_shard(prefix, prefixes)
        snapshot = snapshot_of(store, shard, [x for x in listed(keys) if shard.covers(x.key)])
        publish_snapshot(store, LAYOUT, snapshot)
        snapshots[prefix] = snapshot
    return VerificationTarget.of_manifest(store, LAYOUT, merge(store, LAYOUT, "", snapshots, NOW))


def test_the_evidence_has_the_empty_ranges(store: LocalStore) -> None:
    inventory = manifest_with(store, ["a/1", "a/2", "c"], ["", "a/", "b/"])
    assert inventory.began_at == NOW
    assert all(inventory.records_in(each) == {} for each in inventory.empty)
    for key in ("A", "a/3", "b/1", "d"):
        assert any(key in each for each in inventory.empty)


def test_a_key_lost_in_an_empty_range_is_found_missing(store: LocalStore) -> None:
    keys = ["a/1", "a/2", "c"]
    inventory = manifest_with(store, keys, ["", "a/", "b/"])
    assert len(inventory.empty) <= EMPTY_RANGES + 1
    seeds = [verify(inventory, ModelS3([*keys, "b/1"]), chance(n), 1) for n in range(9)]
    assert {Finding.MISSING} == {seed.findings.get("b/1") for seed in seeds}


def test_the_evidence_of_a_later_listing_is_not_used_for_a_manifest(store: LocalStore) -> None:
    shard = make_shard("", [""])
    snapshot = snapshot_of(store, shard, listed(["a"]))
    publish_snapshot(store, LAYOUT, replace(snapshot, fingerprint="another"))
    manifest = merge(store, LAYOUT, "", {"": snapshot}, NOW)
    assert VerificationTarget.of_manifest(store, LAYOUT, manifest).empty == []
