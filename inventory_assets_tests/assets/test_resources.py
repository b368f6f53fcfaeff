"""The Dagster resources reach what the configuration names."""

from contextlib import closing
from pathlib import Path

import pytest

from inventory_assets.config import Source, StoreBucket
from inventory_assets.defs.source.resources import InventoryStore, SourceBucket
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.wiring.source_access import open_source_bucket
from inventory_assets_tests.assets.world import TODAY, noon

OURS = {
    "name": "ours",
    "bucket": "ours",
    "endpoint_url": "http://127.0.0.1:9",
    "region": "eu-west-1",
    "requester_pays": True,
    "addressing_style": "path",
    "concurrency": 7,
    "concurrency_policy": "pid",
    "max_outage_seconds": 5,
}
ROLE = {
    "profile": "prod",
    "role_arn": "arn:aws:iam::123456789012:role/inventory",
    "external_id": "inventory-42",
}


@pytest.mark.parametrize("identity", [ROLE, {"anonymous": True}], ids=["a role", "anonymous"])
def test_a_source_is_reached_likewise_with_and_without_dagster(
    identity: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file = tmp_path / "config"
    config_file.write_text("[profile prod]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config_file))
    source = Source.model_validate({**OURS, **identity})
    expected = BucketConfig(
        "ours",
        "http://127.0.0.1:9",
        "eu-west-1",
        requester_pays=True,
        addressing_style="path",
        max_in_flight=7,
        policy=PolicyName.PID,
        **identity,  # type: ignore[arg-type]
    )
    for lister in (
        SourceBucket.of(source).lister(noon(TODAY)),
        open_source_bucket(source, noon(TODAY)),
    ):
        with closing(lister):
            assert lister.bucket_config == expected
            assert lister.retry.outage_seconds == 5


@pytest.mark.parametrize(
    "place",
    [
        Path("/results"),
        StoreBucket(
            bucket="results",
            prefix="daily",
            endpoint_url="http://127.0.0.1:9",
            region="eu-west-1",
            profile="prod",
            addressing_style="path",
        ),
    ],
    ids=["a folder", "a bucket"],
)
def test_the_store_of_results_is_the_configured_one(place: Path | StoreBucket) -> None:
    assert InventoryStore.of(place).place == place
