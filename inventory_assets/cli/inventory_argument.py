"""The argument that names an inventory: a source, a date of it, or a path."""

import argparse
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from inventory_assets.inventory.errors import InventoryNotFound

if TYPE_CHECKING:
    from inventory_assets.config import Config, Source
    from inventory_assets.inventory.manifest.manifest import Manifest
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.inventory.storage.store import Store

HELP = (
    "a source of the configuration (logs: its newest date), a date of it (logs@2026-11-22), or a "
    "path to the folder of a date, of a source, or of `inventory list`, or the URL (s3://) of "
    "`inventory list --join`"
)


def add_inventory(parser: argparse.ArgumentParser, name: str = "inventory") -> None:
    """Add the argument that names an inventory."""
    parser.add_argument(name, metavar=name.upper(), help=HELP)


def open_inventory(address: str) -> "Dataset":
    """Open the inventory that an address names.

    Raises:
        InventoryNotFound: There is no such inventory.
        ConfigError: The configuration is invalid.
        CorruptRecord: The files of a listing do not belong together.
        StoreError: The store of the results cannot be read.
    """
    from inventory_assets.config import load_config
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.wiring.results import open_results

    path = Path(address)
    if is_url(address):
        return Dataset.at(address)
    if is_path(address):
        if not path.exists():
            raise InventoryNotFound(f"{address} does not exist; correct the path")
        return Dataset.at(path)
    config = load_config()
    source, day = source_and_day(config, address)
    layout = Layout(source.bucket, source.folder_name)
    return Dataset.of_date(open_results(config.store), layout, day)


def open_manifest(address: str) -> "tuple[Source, Store, Layout, Manifest]":
    """The source that an address names, its store and layout, and the manifest of the date.

    Raises:
        InventoryNotFound: There is no such source, or the date has no inventory.
        ConfigError: The configuration is invalid.
        StoreError: The store of the results cannot be read.
    """
    from inventory_assets.inventory.query.published_inventory import published_manifest

    source, store, layout, day = open_source(address)
    return source, store, layout, published_manifest(store, layout, day)


def open_source(address: str) -> "tuple[Source, Store, Layout, date | None]":
    """The source that an address names, its store and layout, and the date; None for the newest.

    Raises:
        InventoryNotFound: There is no source of that name, or the date is malformed.
        ConfigError: The configuration is invalid.
    """
    from inventory_assets.config import load_config
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.wiring.results import open_results

    config = load_config()
    source, day = source_and_day(config, address)
    return source, open_results(config.store), Layout(source.bucket, source.folder_name), day


def is_path(address: str) -> bool:
    """Whether an address is a path; it needs a slash, since a source may be named like a folder."""
    return "/" in address or address in {".", ".."}


def is_url(address: str) -> bool:
    """Whether an address is the URL of a shared listing."""
    return address.startswith("s3://")


def source_and_day(config: "Config", address: str) -> "tuple[Source, date | None]":
    """The source that an address names, and its date; None for the newest date.

    Raises:
        InventoryNotFound: There is no source of that name, or the date is malformed.
    """
    name, is_dated, text = address.partition("@")
    source = config.sources.get(name)
    if source is None:
        known = ", ".join(config.sources)
        at_path = f"; the folder here is ./{address}" if Path(address).exists() else ""
        raise InventoryNotFound(f"no source is called {name!r}; sources are: {known}{at_path}")
    try:
        return source, date.fromisoformat(text) if is_dated else None
    except ValueError:
        raise InventoryNotFound(
            f"{text!r} is not a date; write it as {name}@{date.today().isoformat()}"  # noqa: DTZ011
        ) from None
