"""Open the store of results and the Iceberg catalogue that the configuration names."""

from pathlib import Path
from typing import TYPE_CHECKING

from inventory_assets.config import Iceberg, StoreBucket
from inventory_assets.inventory.errors import IcebergError, PackageMissing
from inventory_assets.inventory.storage.layout import ICEBERG_CATALOG
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Permission, Store, always_permitted

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from inventory_assets.s3.bucket_config import BucketConfig

SQLITE_CATALOG = "inventory"
"""The name of the catalogue in SQLite, which its readers must use too."""


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
