"""The rules of a bucket, over HTTP, and what is said where there are none."""

from collections.abc import Callable, Iterable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from inventory_assets.inventory.lifecycle.rules import Expiration, Rule, Transition
from inventory_assets.inventory.lifecycle.rules_document import parse_rules
from inventory_assets.s3 import lifecycle_client
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.lifecycle_client import LifecycleUnavailable, read_lifecycle

MakeBucket = Callable[[Iterable[str]], BucketConfig]


def put_rules(bucket_config: BucketConfig, *rules: dict[str, Any]) -> None:
    client: Any = boto3.client(
        "s3",
        endpoint_url=bucket_config.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket_config.bucket, LifecycleConfiguration={"Rules": list(rules)}
    )


@pytest.mark.usefixtures("no_aws_environment")
def test_the_rules_of_a_bucket_are_read(moto_bucket: MakeBucket) -> None:
    bucket_config = moto_bucket([])
    put_rules(
        bucket_config,
        {
            "ID": "logs",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "a", "Value": "b"}]}},
            "Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}],
            "Expiration": {"Days": 365},
        },
    )
    rules = parse_rules(read_lifecycle(bucket_config), "the bucket")
    assert rules.rules == (
        Rule(
            "logs",
            prefix="logs/",
            tags=("a=b",),
            transitions=(Transition("STANDARD_IA", 30),),
            expiration=Expiration(365),
        ),
    )


@pytest.mark.usefixtures("no_aws_environment")
def test_a_bucket_without_rules_says_so(moto_bucket: MakeBucket) -> None:
    bucket_config = moto_bucket([])
    with pytest.raises(LifecycleUnavailable) as caught:
        read_lifecycle(bucket_config)
    assert str(caught.value) == (
        f"{bucket_config.display_name} has no lifecycle rules; name a file of rules instead "
        '(--rules FILE; in the configuration: lifecycle = "FILE")'
    )


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("NotImplemented", 501, "the store has no lifecycle rules (it said NotImplemented); name"),
        ("MethodNotAllowed", 405, "the store has no lifecycle rules (it said MethodNotAllowed)"),
        ("AccessDenied", 403, "grant s3:GetLifecycleConfiguration to these credentials, or name"),
        ("SlowDown", 503, "at each of 6 attempts"),
    ],
)
def test_a_store_that_does_not_show_rules_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, code: str, status: int, told: str
) -> None:
    class Refusing:
        client: Any

        def get_bucket_lifecycle_configuration(self, **_: object) -> None:
            raise ClientError(
                {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
                "GetBucketLifecycleConfiguration",
            )

    opened = Refusing()
    opened.client = opened
    monkeypatch.setattr(lifecycle_client, "open_boto_session", lambda *_, **__: opened)
    with pytest.raises(S3Error) as caught:
        read_lifecycle(BucketConfig("logs"))
    assert str(caught.value).startswith("bucket 'logs' at AWS: ")
    assert told in str(caught.value)


@pytest.mark.usefixtures("no_aws_environment")
def test_a_bucket_that_does_not_exist_is_named(moto_bucket: MakeBucket) -> None:
    known = moto_bucket([])
    gone = BucketConfig(
        "no-such-bucket",
        known.endpoint_url,
        access_key="any",
        secret_key="any",
        addressing_style="path",
    )
    with pytest.raises(S3Error, match="no-such-bucket"):
        read_lifecycle(gone)
