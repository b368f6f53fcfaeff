"""`inventory release`: publish a date that the gate holds."""

import argparse
import getpass
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

from inventory_assets.cli.inventory_argument import source_and_day


def add_release(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "release",
        help="publish a date that the gate holds",
        description="Publish a date that the gate holds exactly as it was held. Who released it, "
        "when and why is kept in its manifest. Dagster materializes what is downstream within a "
        "few minutes, if the sensor SOURCE_releases is on.",
    )
    parser.add_argument(
        "date", metavar="SOURCE@DATE", help="a held date of a source, such as logs@2026-11-29"
    )
    parser.add_argument(
        "--because", metavar="TEXT", required=True, help="why the date may be published"
    )
    parser.set_defaults(run=_release, usage_error=parser.error)


def _release(options: argparse.Namespace) -> int:
    from inventory_assets.config import load_config
    from inventory_assets.inventory.gate.publication import release_date
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.wiring.results import open_results

    config = load_config()
    source, day = source_and_day(config, options.date)
    usage_error: Callable[[str], NoReturn] = options.usage_error
    if day is None:
        usage_error(f"name the date, too: {options.date}@DATE")
    manifest = release_date(
        open_results(config.store),
        Layout(source.bucket, source.folder_name),
        day,
        _user(),
        options.because,
        lambda: datetime.now(UTC),
    )
    print(f"{source.name}@{day} is published: {manifest.rows:,} records, as they were held")
    return 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run a user without a name
        return f"user {os.getuid()}"
