"""Write a small store with the code of any commit, for the tests of upgrades.

Check the commit out, and run this with its code, in the environment of today:

    git worktree add --detach /tmp/then <commit>
    PYTHONPATH=/tmp/then python tools/write_store.py inventory_assets_tests/stores/format-<number>

It lists a bucket with odd names on two dates, with changes between them, once as objects and once
as versions, and materializes all further assets that the code of the commit knows.
`docs/upgrading.md` says which stores are kept.
"""

import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

LONG = "long/" + "x" * 900 + "/"
BEFORE: Mapping[str, bytes] = {
    "a/1": b"1",
    "a/2": b"22",
    "a/gone": b"gone",
    "b/with space & <odd>.txt": b"odd",
    "b/é/ünï\U0001f512": b"unicode",
    "b/quote'\"%41+": b"quotes",
    "c/../dots": b"dots",
    "c/trailing/": b"",
    f"{LONG}key": b"long",
    "root": b"root",
    "root~": b"",
}
AFTER: Mapping[str, bytes] = {
    **{key: body for key, body in BEFORE.items() if key != "a/gone"},
    "a/2": b"22, modified",
    "new/key": b"new",
    "zz": b"zz",
}
BUCKET = "kept-store"
LATER_ASSETS = (
    "object_metadata",
    "prefix_usage",
    "hygiene_report",
    "lifecycle_simulation",
    "inventory_exports",
)
"""Assets beyond those of `World.pass_day`, in the order of their dependencies."""

RULES = {
    "Rules": [
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "a/"},
            "Expiration": {"Days": 30},
        }
    ]
}


def main(folder: Path) -> None:
    """Write the store and what is true of it into a folder."""
    os.environ.update(AWS_ACCESS_KEY_ID="any", AWS_SECRET_ACCESS_KEY="any")  # noqa: S106 - moto
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    import dagster as dg
    from moto.server import ThreadedMotoServer

    from inventory_assets_tests.assets.world import TODAY, World

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with (
        _listing_versions(),
        tempfile.TemporaryDirectory() as scratch,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        client = _client(f"http://{host}:{port}")
        rules = Path(scratch, "rules.json")
        rules.write_text(json.dumps(RULES))
        worlds = [
            World(Path(scratch), instance, fields)
            for name in ("objects", "versions")
            if (fields := _fields(f"http://{host}:{port}", name, rules)) is not None
        ]
        # The tests continue on the day on which they run.
        first, second = (TODAY - timedelta(days=age) for age in (2, 1))
        for day, content in ((first, BEFORE), (second, AFTER)):
            _make_content(client, content)
            for world in worlds:
                print(world.source.name, day, flush=True)
                world.pass_day(day)
                _materialize_more(world, str(day))
        _write_rarer_records(worlds, World, Path(scratch), instance)
        dates = {str(first): sorted(BEFORE), str(second): sorted(AFTER)}
        truth = {
            "bucket": BUCKET,
            "sources": [world.source.name for world in worlds],
            "dates": dates,
            "changes": {
                "a/2": "modified",
                "a/gone": "deleted",
                "new/key": "created",
                "zz": "created",
            },
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
        with tarfile.open(folder / "store.tar.xz", "w:xz") as archive:
            root = Path(scratch, "store")
            for path in sorted(root.rglob("*")):
                name = path.relative_to(root)
                if path.is_file() and not name.parts[0].startswith("."):
                    archive.add(path, str(name))
    server.stop()


def _listing_versions() -> AbstractContextManager[object]:
    """Let moto list versions as S3 does, where the code has tests of versions."""
    for module in ("inventory_assets_tests.fakes", "inventory_assets_tests"):
        with suppress(ImportError):
            found = import_module(f"{module}.versioned_moto")
            context: AbstractContextManager[object] = found.listing_versions_as_s3_does()
            return context
    return nullcontext()


def _fields(endpoint_url: str, name: str, rules: Path) -> dict[str, Any] | None:
    """The fields of a source that the code knows; None where it does not know versions."""
    from inventory_assets.config import Shards, Source

    known = Source.model_fields
    if name == "versions" and "versions" not in known:
        return None
    wanted: dict[str, Any] = {
        "name": name,
        "bucket": BUCKET,
        "endpoint_url": endpoint_url,
        "addressing_style": "path",
        "shards": Shards(depth=1),
        "versions": name == "versions",
        "lifecycle": str(rules),
    }
    with suppress(ImportError):
        from inventory_assets.config import Exports

        wanted["exports"] = Exports(csv_inventory=True, files=("jsonl.gz",))
    with suppress(ImportError):
        from inventory_assets.config import Metadata

        wanted["metadata"] = Metadata()
    return {field: value for field, value in wanted.items() if field in known}


def _materialize_more(world: Any, day: str) -> None:
    known = {key.path[-1] for key in world.definitions.resolve_all_asset_keys()}
    for name in LATER_ASSETS:
        if name in known:
            is_by_shard = name == "object_metadata"
            tags = world.range_tags() if is_by_shard else None
            outcome = world.run(name, None if is_by_shard else day, tags)
            if not outcome.success:
                raise SystemExit(f"{name} failed: {[*_errors(outcome)]}")


def _write_rarer_records(worlds: list[Any], world_type: Any, folder: Path, instance: Any) -> None:
    """Records that are written on few days only: of a hold, a listing begun, a retired shard."""
    try:
        from inventory_assets.inventory.gate import held_date  # noqa: F401
        from inventory_assets.inventory.listing.checkpoint_record import CHECKPOINT, Checkpoint
        from inventory_assets.inventory.listing.shard_registry import record_prefixes
        from inventory_assets.inventory.listing.shard_retirement import (
            Retirement,
            record_retirement,
        )
        from inventory_assets.inventory.manifest.manifest import SUPERSEDED
        from inventory_assets.inventory.manifest.manifest_merge import required_manifest
        from inventory_assets.inventory.manifest.snapshot import publish_snapshot, read_snapshots
        from inventory_assets.inventory.retention.tombstone_state import FOUND, write_state
        from inventory_assets.inventory.storage.commit import publish
        from inventory_assets.inventory.storage.store import NO_ETAG
    except ImportError:
        return
    world = worlds[0]
    store, layout, day, now = world.store, world.layout, world.day, datetime.now(UTC)
    manifest = required_manifest(store, layout, day)
    publish(store, SUPERSEDED.file(layout.superseded(day, "0" * 32), manifest))
    record = Checkpoint("0" * 32, now, now, (), 1, 1, {})
    publish(store, CHECKPOINT.file(f"{layout.checkpoints(day)}/a!-x.0-000000.json", record))
    record_prefixes(store, layout, ["z" * 900 + "/"])
    record_retirement(store, layout, Retirement("retired/", day, day - timedelta(days=40)))
    unnamed = b"of no record"
    part = layout.part(sha256(unnamed).hexdigest())
    store.publish(part, unnamed)
    write_state(store, part, FOUND, now, NO_ETAG)
    fields = world.source.model_dump() | {"name": "held", "versions": False}
    held = world_type(folder, instance, fields)
    held.pass_day(day - timedelta(days=1))
    held.set_day(day)
    held.discover()
    held.list_all()
    for snapshot in read_snapshots(store, held.layout, day).values():
        failing = replace(snapshot, requests=1_000, faults={"throttled": 50})
        publish_snapshot(store, held.layout, failing)
    if held.run("inventory_manifest", str(day)).success:
        raise SystemExit("the date was not held")


def _errors(outcome: Any) -> Iterator[str]:
    for event in outcome.events:
        if event.is_step_failure:
            yield str(event.step_failure_data)


def _client(endpoint_url: str) -> Any:
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return client


def _make_content(client: Any, content: Mapping[str, bytes]) -> None:
    found = {
        each["Key"]: client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", ())
    }
    for key in found.keys() - content.keys():
        client.delete_object(Bucket=BUCKET, Key=key)
    for key, body in content.items():
        if found.get(key) != body:
            client.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata={"owner": "tests"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
