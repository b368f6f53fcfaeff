"""Open what the configuration names: the store, the Iceberg catalogue, the bucket of a source."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from inventory_assets.alerts.delivery import Notifier, Unusable
from inventory_assets.config import (
    LIFECYCLE_OF_BUCKET,
    Alerts,
    ConfigError,
    Iceberg,
    Source,
    StoreBucket,
)
from inventory_assets.inventory.errors import IcebergError, PackageMissing
from inventory_assets.inventory.storage.layout import ICEBERG_CATALOG
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Permission, Store, always_permitted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from pyiceberg.catalog import Catalog

    from inventory_assets.inventory.lifecycle.rules import LifecycleRules
    from inventory_assets.inventory.pricing.price_table import Prices
    from inventory_assets.inventory.usage.by_prefix import Pricing
    from inventory_assets.s3.bucket_config import AddressingStyle, BucketConfig
    from inventory_assets.s3.head_client import HeadClient
    from inventory_assets.s3.list_client import ListClient
    from inventory_assets.s3.request_observer import RequestObserver
    from inventory_assets.s3.upload_client import UploadClient
    from inventory_assets.telemetry.listing_telemetry import ListingTelemetry
    from inventory_assets.telemetry.subject import RunValue, Subject, Work

SQLITE_CATALOG = "inventory"
"""The name of the catalogue in SQLite, which its readers must use too."""

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


def open_results(store: Path | StoreBucket, permission: Permission = always_permitted) -> Store:
    """The store of results; this sends no request to a bucket.

    Args:
        store: The folder or the bucket.
        permission: Asked before a record is written.

    Raises:
        StoreError: The session of the bucket cannot be opened.
    """
    if isinstance(store, Path):
        return LocalStore(store, permission)
    from inventory_assets.inventory.storage.bucket_store import BucketStore

    return BucketStore(_bucket_config(store), store.prefix, permission)


def open_catalog(store: Path | StoreBucket, iceberg: Iceberg) -> "Catalog":
    """The catalogue of the Iceberg tables.

    Tables on a bucket are accessed with the settings of the store; the properties of the
    catalogue in the configuration override them.

    Raises:
        PackageMissing: pyiceberg is not installed.
        IcebergError: The catalogue cannot be opened.
        S3Error: There are no credentials for the bucket.
    """
    try:
        from pyiceberg.catalog import load_catalog
    except ImportError:
        raise PackageMissing(
            "Iceberg tables need pyiceberg, which is not installed; install it: "
            "pip install 'inventory-assets[iceberg]'"
        ) from None
    from inventory_assets.inventory.iceberg.tables import as_iceberg_error

    if iceberg.catalog is None:
        if not isinstance(store, Path):
            raise IcebergError("results on a bucket need a catalog in [iceberg]; add one")
        with as_iceberg_error("catalogue in SQLite"):
            store.mkdir(parents=True, exist_ok=True)
            return _open_sqlite(store / ICEBERG_CATALOG)
    with as_iceberg_error(f"catalogue {iceberg.catalog}"):
        access = {} if isinstance(store, Path) else _access(store)
        return load_catalog(iceberg.catalog, **{**access, **iceberg.properties})


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
    return ListClient(_source_config(source, now), retry, observer=observer)


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
        config = _source_config(source, now)
        return subject_of(config.bucket, config.endpoint_url, name, run, work)

    return listing_telemetry(describe)


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

    return UploadClient(_source_config(source, now))


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
    config = _source_config(source, now)
    return HeadClient(config, retry, with_tags=with_tags, observer=observer)


def _source_config(source: SourceAccess, now: datetime) -> "BucketConfig":
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


def prices_of(source: Source | None) -> "Prices":
    """The price table of a source: its own, or S3's list prices, as where there is no source.

    Raises:
        ConfigError: The table cannot be read or is invalid.
    """
    from inventory_assets.inventory.pricing.price_table import load_prices

    return load_prices(Path(source.prices) if source and source.prices else None)


def lifecycle_rules_of(
    source: SourceAccess, now: datetime, lifecycle: str | None = LIFECYCLE_OF_BUCKET
) -> "LifecycleRules":
    """The lifecycle rules of a file, or those of a source's bucket.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.
        lifecycle: The path of the file; `LIFECYCLE_OF_BUCKET` or None to ask the bucket.

    Raises:
        RulesInvalid: S3 would refuse the rules.
        S3Error: The bucket has no rules, or does not show them.
    """
    from inventory_assets.inventory.lifecycle.rules_document import parse_rules, read_rules
    from inventory_assets.s3.lifecycle_client import read_lifecycle

    if lifecycle not in {None, LIFECYCLE_OF_BUCKET}:
        return read_rules(Path(str(lifecycle)))
    config = _source_config(source, now)
    return parse_rules(read_lifecycle(config), config.display_name)


def usage_pricing(prices: "Prices") -> "Pricing":
    """What the storage of the rows of a usage table costs by a price table."""

    def monthly_usd(rows: "pa.Table") -> "pa.DoubleArray":
        import pyarrow.compute as pc

        from inventory_assets.inventory.parts.schema import listed_classes
        from inventory_assets.inventory.pricing.storage_cost import rates_of, storage_usd

        at, classes = rows.schema.get_field_index("storage_class"), rows.column("storage_class")
        rows = rows.set_column(at, "storage_class", listed_classes(classes))
        whole = rows.filter(pc.equal(rows.column("prefix"), ""))
        return storage_usd(rates_of(prices, whole), rows)

    return monthly_usd


def notifiers_of(alerts: Alerts, environment: Mapping[str, str]) -> "list[Notifier]":
    """Who is told, with the secrets of the environment.

    A variable that is not set makes a notifier that fails and names the variable, so that the
    others are told.
    """
    from inventory_assets.alerts.mail import Mail
    from inventory_assets.alerts.webhook import Webhook

    def value(variable: str | None) -> str:
        return environment.get(variable, "").strip() if variable else ""

    found: list[Notifier] = []
    for name, variable in (("webhook", alerts.webhook_env), ("slack", alerts.slack_env)):
        if variable:
            is_slack = name == "slack"
            missing = f"the environment variable {variable} is not set"
            hook = Webhook(value(variable), name, is_slack)
            found.append(hook if hook.url else Unusable(name, missing))
    email = alerts.email
    if email is not None:
        missing_names = [
            name for name in (email.user_env, email.password_env) if name and not value(name)
        ]
        user, password = value(email.user_env), value(email.password_env)
        mail = Mail(email.host, email.port, email.sender, email.to, email.security, user, password)
        missing = f"the environment variable {', '.join(missing_names)} is not set"
        found.append(Unusable(mail.name, missing) if missing_names else mail)
    return found


def named_file_mistakes(source: Source) -> list[str]:
    """The mistakes in the files that the configuration of a source names, one a line."""
    mistakes: list[str] = []
    if source.prices:
        try:
            prices_of(source)
        except ConfigError as error:
            mistakes += str(error).splitlines()
    if source.lifecycle not in {None, LIFECYCLE_OF_BUCKET}:
        from inventory_assets.inventory.errors import RulesInvalid
        from inventory_assets.inventory.lifecycle.rules_document import read_rules

        try:
            read_rules(Path(str(source.lifecycle)))
        except RulesInvalid as error:
            mistakes += str(error).splitlines()
    return mistakes


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


def _bucket_config(store: StoreBucket) -> "BucketConfig":
    from inventory_assets.s3.bucket_config import BucketConfig

    return BucketConfig(
        bucket=store.bucket,
        endpoint_url=store.endpoint_url,
        region=store.region,
        profile=store.profile,
        addressing_style=store.addressing_style,
    )


def _access(store: StoreBucket) -> dict[str, str]:
    """The access properties for pyiceberg, whose S3 client has no profiles and no refresh."""
    from inventory_assets.s3.session import open_boto_session

    boto = open_boto_session(_bucket_config(store))
    access = {"s3.region": boto.client.meta.region_name}
    if store.endpoint_url:
        access["s3.endpoint"] = store.endpoint_url
    if store.addressing_style != "auto":
        is_virtual = store.addressing_style == "virtual"
        access["s3.force-virtual-addressing"] = str(is_virtual).lower()
    credentials = boto.session.get_credentials()
    if credentials is not None:
        key = credentials.get_frozen_credentials()
        access["s3.access-key-id"] = key.access_key or ""
        access["s3.secret-access-key"] = key.secret_key or ""
        if key.token:
            access["s3.session-token"] = key.token
    return access


def _open_sqlite(path: Path) -> "Catalog":
    from pyiceberg.catalog import load_catalog
    from sqlalchemy import URL
    from sqlalchemy.exc import OperationalError

    uri = URL.create("sqlite", database=str(path)).render_as_string()
    try:
        return load_catalog(SQLITE_CATALOG, type="sql", uri=uri)
    except OperationalError:  # another run has just created the tables in the file
        return load_catalog(SQLITE_CATALOG, type="sql", uri=uri)
