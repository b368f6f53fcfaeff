"""Dagster resources: buckets, the store of results, the Iceberg catalogue, the clock."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3.resources import ResourceWithS3Configuration
from pydantic import Field

from inventory_assets.config import DEFAULT_STORE, Iceberg, Source, StoreBucket
from inventory_assets.inventory.lifecycle.rules import LifecycleRules
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Permission, Store, always_permitted
from inventory_assets.s3.bucket_config import AddressingStyle
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.head_client import HeadClient
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_observer import RequestObserver
from inventory_assets.s3.upload_client import UploadSource
from inventory_assets.wiring.named_files import lifecycle_rules_of
from inventory_assets.wiring.results import open_catalog, open_results
from inventory_assets.wiring.source_access import (
    open_source_bucket,
    open_source_objects,
    open_source_uploads,
)

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.tables import IcebergTables


class SourceBucket(ResourceWithS3Configuration):
    """dagster-aws's S3 configuration of a source's bucket, with the settings of listings.

    Credentials come from boto3's chain.
    """

    bucket: str = Field(description="The bucket to list.")
    role_arn: str | None = Field(default=None, description="A role to assume.")
    external_id: str | None = Field(
        default=None, description="The external id of the role's trust policy."
    )
    requester_pays: bool = Field(default=False, description="Pay for the requests.")
    addressing_style: AddressingStyle = Field(
        default="auto",
        description="Whether the bucket's name is in the path or the host of the URL.",
    )
    concurrency: int = Field(default=32, description="Maximum requests in flight.")
    concurrency_policy: PolicyName = Field(
        default=PolicyName.ADAPTIVE, description="How the limit of requests in flight is adjusted."
    )
    max_outage_seconds: int = Field(
        default=1_800, description="How long a failing request is retried."
    )
    demo: bool = Field(default=False, description="Use the embedded demo store.")

    @classmethod
    def of(cls, source: Source) -> "SourceBucket":
        """The resource of a configured source."""
        return cls(
            bucket=source.bucket,
            endpoint_url=source.endpoint_url,
            region_name=source.region,
            profile_name=source.profile,
            use_unsigned_session=source.anonymous,
            role_arn=source.role_arn,
            external_id=source.external_id,
            requester_pays=source.requester_pays,
            addressing_style=source.addressing_style,
            concurrency=source.concurrency,
            concurrency_policy=PolicyName(source.concurrency_policy),
            max_outage_seconds=source.max_outage_seconds,
            demo=source.demo,
        )

    @property
    def region(self) -> str | None:
        """`Source.region`, which dagster-aws calls otherwise."""
        return self.region_name

    @property
    def profile(self) -> str | None:
        """`Source.profile`, likewise."""
        return self.profile_name

    @property
    def anonymous(self) -> bool:
        """`Source.anonymous`, likewise."""
        return self.use_unsigned_session

    def for_tick(self, max_outage_seconds: int) -> "SourceBucket":
        """The same bucket, whose failing requests are given up earlier, as ticks have limits."""
        seconds = min(self.max_outage_seconds, max_outage_seconds)
        return SourceBucket(**{**dict(self), "max_outage_seconds": seconds})

    def lister(self, now: datetime, observer: RequestObserver | None = None) -> PageSource:
        """A client that lists the bucket; the demo store shows what it holds at `now`."""
        return open_source_bucket(self, now, observer)

    def objects(
        self, now: datetime, observer: RequestObserver | None = None, *, with_tags: bool
    ) -> HeadClient:
        """A client that asks for the metadata of the bucket's objects."""
        return open_source_objects(self, now, observer, with_tags=with_tags)

    def lifecycle_rules(self, lifecycle: str | None, now: datetime) -> LifecycleRules:
        """The lifecycle rules of a file or of the bucket, as `Source.lifecycle` says.

        Raises:
            RulesInvalid: S3 would refuse the rules.
            S3Error: The bucket has no rules, or does not show them.
        """
        return lifecycle_rules_of(self, now, lifecycle)

    def uploads(self, now: datetime) -> UploadSource:
        """A client that lists the unfinished uploads of the bucket."""
        return open_source_uploads(self, now)


class InventoryStore(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The store of results: a folder, or a bucket with credentials from boto3's chain."""

    root: str | None = Field(default=None, description="The folder of the results.")
    bucket: str | None = Field(default=None, description="The bucket of the results.")
    prefix: str = Field(default="", description="The prefix of the results' keys.")
    endpoint_url: str | None = Field(default=None, description="The URL of an S3-compatible store.")
    region: str | None = Field(default=None, description="The bucket's region.")
    profile: str | None = Field(default=None, description="A profile with credentials.")
    addressing_style: AddressingStyle = Field(
        default="auto",
        description="Whether the bucket's name is in the path or the host of the URL.",
    )

    @classmethod
    def of(cls, store: Path | StoreBucket) -> "InventoryStore":
        """The configured resource."""
        if isinstance(store, Path):
            return cls(root=str(store))
        return cls(**dict(store))

    def open(self, permission: Permission = always_permitted) -> Store:
        """Open the store.

        Args:
            permission: Asked before a record is written.

        Raises:
            StoreError: The bucket cannot be opened.
        """
        return open_results(self.place, permission)

    @property
    def place(self) -> Path | StoreBucket:
        """The folder, or the bucket and its access settings."""
        if self.bucket is None:
            return Path(self.root or DEFAULT_STORE)
        return StoreBucket(**{name: getattr(self, name) for name in StoreBucket.model_fields})


class IcebergCatalog(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The Iceberg catalogue; its secrets are in pyiceberg's own configuration."""

    catalog: str | None = Field(default=None, description="Its name; without it, SQLite.")
    namespace: str = Field(default="inventory", description="The namespace of the inventories.")
    properties: dict[str, str] = Field(default={}, description="Its properties, for pyiceberg.")

    @classmethod
    def of(cls, iceberg: Iceberg) -> "IcebergCatalog":
        """The configured resource."""
        return cls(**dict(iceberg))

    def tables(self, results: InventoryStore, layout: Layout) -> "IcebergTables":
        """The tables of a source.

        Raises:
            PackageMissing: pyiceberg is not installed.
            IcebergError: The catalogue cannot be opened.
        """
        iceberg = Iceberg(
            catalog=self.catalog, namespace=self.namespace, properties=self.properties
        )
        catalog = open_catalog(results.place, iceberg)
        from inventory_assets.inventory.iceberg.tables import IcebergTables

        return IcebergTables(catalog, results.open(), layout, self.namespace)


class Clock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The clock; with a fixed time for the demo and tests."""

    fixed: str | None = Field(default=None, description="A fixed ISO 8601 time.")

    def now(self) -> datetime:
        """The current time, with a time zone."""
        return datetime.fromisoformat(self.fixed) if self.fixed else datetime.now(UTC)
