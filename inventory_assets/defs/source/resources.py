"""What the assets need from outside: a source's bucket, the store of results, and the time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_aws.s3.resources import ResourceWithS3Configuration
from pydantic import Field

from inventory_assets.config import DEFAULT_STORE, Iceberg, Source, StoreBucket
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.bucket_config import AddressingStyle, BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.list_client import ListClient, RetryPolicy
from inventory_assets.wiring import at_demo_server, open_catalog, open_results

if TYPE_CHECKING:
    from inventory_assets.inventory.iceberg.tables import IcebergTables


class SourceBucket(ResourceWithS3Configuration):
    """dagster-aws's S3 configuration for one source's bucket, with what a listing needs beside it.

    Credentials come from boto3's chain; none is configured here.
    """

    bucket: str = Field(description="The bucket to list.")
    role_arn: str | None = Field(default=None, description="A role to assume.")
    external_id: str | None = Field(default=None, description="What the role's trust asks for.")
    requester_pays: bool = Field(default=False, description="Agree to pay for the requests.")
    addressing_style: AddressingStyle = Field(
        default="auto", description="Where the bucket's name goes in the URL."
    )
    concurrency: int = Field(default=32, description="Requests in flight at most.")
    concurrency_policy: PolicyName = Field(
        default=PolicyName.ADAPTIVE, description="How the number in flight follows the store."
    )
    max_outage_seconds: int = Field(
        default=1_800, description="For how long a request that fails is tried again."
    )
    demo: bool = Field(default=False, description="Use the embedded demo store.")

    @classmethod
    def of(cls, source: Source) -> "SourceBucket":
        """The resource that the configuration of a source describes."""
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

    def connection(self, now: datetime) -> BucketConfig:
        """How to reach the bucket; the demo store shows what it holds at `now`."""
        config = BucketConfig(
            bucket=self.bucket,
            endpoint_url=self.endpoint_url,
            region=self.region_name,
            profile=self.profile_name,
            role_arn=self.role_arn,
            external_id=self.external_id,
            anonymous=self.use_unsigned_session,
            requester_pays=self.requester_pays,
            addressing_style=self.addressing_style,
            max_in_flight=self.concurrency,
            policy=self.concurrency_policy,
        )
        return at_demo_server(config, now) if self.demo else config

    def lister(self, now: datetime) -> ListClient:
        """The pages of the bucket."""
        return ListClient(self.connection(now), RetryPolicy(outage_seconds=self.max_outage_seconds))


class InventoryStore(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where results are kept: a folder, or a bucket, whose credentials boto3's chain finds."""

    root: str | None = Field(default=None, description="The folder of the results.")
    bucket: str | None = Field(default=None, description="The bucket of the results.")
    prefix: str = Field(default="", description="What their keys start with there.")
    endpoint_url: str | None = Field(default=None, description="An S3-compatible store's address.")
    region_name: str | None = Field(default=None, description="The bucket's region.")
    profile_name: str | None = Field(default=None, description="A profile with credentials.")
    addressing_style: AddressingStyle = Field(
        default="auto", description="Where the bucket's name goes in the URL."
    )

    @classmethod
    def of(cls, store: Path | StoreBucket) -> "InventoryStore":
        """The resource that the configuration describes."""
        if isinstance(store, Path):
            return cls(root=str(store))
        return cls(
            bucket=store.bucket,
            prefix=store.prefix,
            endpoint_url=store.endpoint_url,
            region_name=store.region,
            profile_name=store.profile,
            addressing_style=store.addressing_style,
        )

    def open(self) -> Store:
        """The store itself.

        Raises:
            StoreError: The bucket's connection cannot be opened.
        """
        return open_results(self.place)

    @property
    def place(self) -> Path | StoreBucket:
        """The folder, or the bucket and how it is reached."""
        if self.bucket is None:
            return Path(self.root or DEFAULT_STORE)
        return StoreBucket(
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint_url=self.endpoint_url,
            region=self.region_name,
            profile=self.profile_name,
            addressing_style=self.addressing_style,
        )


class IcebergCatalog(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where Iceberg tables are registered; what is secret pyiceberg's own configuration knows."""

    catalog: str | None = Field(default=None, description="Its name; SQLite where there is none.")
    namespace: str = Field(default="inventory", description="The namespace of the inventories.")
    properties: dict[str, str] = Field(default={}, description="What pyiceberg is told of it.")

    @classmethod
    def of(cls, iceberg: Iceberg) -> "IcebergCatalog":
        """The resource that the configuration describes."""
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
    """The time; a fixed one for the demo and for tests."""

    fixed: str | None = Field(default=None, description="An ISO 8601 time to stand still at.")

    def now(self) -> datetime:
        """The time, with its zone."""
        return datetime.fromisoformat(self.fixed) if self.fixed else datetime.now(UTC)
