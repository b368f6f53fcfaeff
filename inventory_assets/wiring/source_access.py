"""Open what reads the bucket of a source."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from inventory_assets.inventory.errors import PackageMissing

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from inventory_assets.s3.bucket_config import AddressingStyle, BucketConfig
    from inventory_assets.s3.head_client import HeadClient
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.s3.request_observer import RequestObserver
    from inventory_assets.s3.upload_client import UploadClient
    from inventory_assets.telemetry.listing_telemetry import ListingTelemetry
    from inventory_assets.telemetry.subject import RunValue, Subject, Work

_DEMO_PACKAGES = ("moto", "flask")
"""moto, and what its server needs."""


class SourceAccess(Protocol):
    """How to reach the bucket of a source, with the fields of `config.Source`.

    The Dagster resource of a source has them, too.
    """

    bucket: str
    endpoint_url: str | None
    role_arn: str | None
    external_id: str | None
    requester_pays: bool
    addressing_style: "AddressingStyle"
    concurrency: int
    max_outage_seconds: int
    demo: bool

    @property
    def region(self) -> str | None: ...

    @property
    def profile(self) -> str | None: ...

    @property
    def anonymous(self) -> bool: ...

    @property
    def concurrency_policy(self) -> str: ...


def open_source_bucket(
    source: SourceAccess, now: datetime, observer: "RequestObserver | None" = None
) -> "ListClient":
    """A client that lists the bucket of a source; this sends no request.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.
        observer: Is told of every request; None for nobody.

    Raises:
        PackageMissing: The source is the embedded demo, whose packages are not installed.
    """
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.s3.retries import RetryPolicy

    retry = RetryPolicy(outage_seconds=source.max_outage_seconds)
    return ListClient(source_config(source, now), retry, observer=observer)


def open_source_uploads(source: SourceAccess, now: datetime) -> "UploadClient":
    """A client that lists the unfinished uploads of a source's bucket; this sends no request.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.

    Raises:
        PackageMissing: The source is the embedded demo, whose packages are not installed.
        S3Error: The connection cannot be opened.
    """
    from inventory_assets.s3.upload_client import UploadClient

    return UploadClient(source_config(source, now))


def open_source_objects(
    source: SourceAccess,
    now: datetime,
    observer: "RequestObserver | None" = None,
    *,
    with_tags: bool,
) -> "HeadClient":
    """A client that asks for the metadata of a source's objects; this sends no request.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.
        observer: Is told of every request for an object; None for nobody.
        with_tags: Whether to ask for tags, too.

    Raises:
        PackageMissing: The source is the embedded demo, whose packages are not installed.
        S3Error: The connection cannot be opened.
    """
    from inventory_assets.s3.head_client import HeadClient
    from inventory_assets.s3.retries import RetryPolicy

    retry = RetryPolicy(outage_seconds=source.max_outage_seconds)
    config = source_config(source, now)
    return HeadClient(config, retry, with_tags=with_tags, observer=observer)


def source_telemetry(
    name: str, source: SourceAccess, now: datetime, run: "Mapping[str, RunValue]", work: "Work"
) -> "AbstractContextManager[ListingTelemetry]":
    """The telemetry of a run over a source, as the `OTEL_*` variables ask for it.

    Args:
        name: The name of the source.
        source: The source.
        now: The time.
        run: Attributes of the run.
        work: What the run does.
    """
    from inventory_assets.telemetry.listing_telemetry import listing_telemetry
    from inventory_assets.telemetry.subject import subject_of

    def describe() -> "Subject":
        config = source_config(source, now)
        return subject_of(config.bucket, config.endpoint_url, name, run, work)

    return listing_telemetry(describe)


def source_config(source: SourceAccess, now: datetime) -> "BucketConfig":
    """The bucket of a source, and how to reach it.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.

    Raises:
        PackageMissing: The source is the embedded demo, whose packages are not installed.
    """
    from inventory_assets.s3.bucket_config import BucketConfig
    from inventory_assets.s3.concurrency.policies import PolicyName

    config = BucketConfig(
        bucket=source.bucket,
        endpoint_url=source.endpoint_url,
        region=source.region,
        profile=source.profile,
        role_arn=source.role_arn,
        external_id=source.external_id,
        anonymous=source.anonymous,
        requester_pays=source.requester_pays,
        addressing_style=source.addressing_style,
        max_in_flight=source.concurrency,
        policy=PolicyName(source.concurrency_policy),
    )
    return _at_demo_server(config, now) if source.demo else config


def require_demo_packages() -> None:
    """Check that the packages of the embedded demo bucket are installed.

    Raises:
        PackageMissing: They are not.
    """
    if not all(map(find_spec, _DEMO_PACKAGES)):
        raise PackageMissing(
            "the embedded demo bucket needs moto, which is not installed; install it: "
            "pip install 'inventory-assets[demo]'"
        )


def _at_demo_server(config: "BucketConfig", now: datetime) -> "BucketConfig":
    """The same bucket on the embedded demo server, which shows its content at `now`."""
    from inventory_assets.demo.server import ACCESS_KEY, SECRET_KEY, demo_server

    require_demo_packages()
    server = demo_server()
    server.show(now.astimezone(UTC).date())
    return replace(
        config,
        endpoint_url=server.endpoint_url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
    )
