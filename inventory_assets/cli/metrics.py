"""`inventory metrics`: the figures of every source, for monitoring."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inventory_assets.errors import InventoryError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inventory_assets.config import Config, Source
    from inventory_assets.telemetry.source_figures import Figure

NOT_SENT = 1
"""The exit code if figures could not be sent."""


def add_metrics(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "metrics",
        help="print or serve the figures of every source, for Prometheus",
        description="Print the figures of every source in Prometheus's text format: when its "
        "newest date was listed, held dates, objects, requests and transient errors. They are read "
        "from the store of the results, so no run needs to be under way.",
    )
    parser.add_argument(
        "source", metavar="SOURCE", nargs="?", help="only this source of the configuration"
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        type=Path,
        help="write to FILE, which is replaced at once, for node_exporter's textfile collector",
    )
    way.add_argument(
        "--serve",
        action="store_true",
        help="answer http://127.0.0.1:9464/metrics until stopped; OTEL_EXPORTER_PROMETHEUS_HOST "
        "and OTEL_EXPORTER_PROMETHEUS_PORT name another address",
    )
    way.add_argument(
        "--push",
        action="store_true",
        help="send the figures by OTLP, once, to where the OTEL_* variables say",
    )
    parser.set_defaults(run=_metrics)


def _metrics(options: argparse.Namespace) -> int:
    from inventory_assets.cli.inventory_argument import source_and_day
    from inventory_assets.config import load_config
    from inventory_assets.telemetry.prometheus_text import prometheus_text

    config = load_config()
    name = options.source
    sources = [source_and_day(config, name)[0]] if name else [*config.sources.values()]

    def read() -> str:
        return prometheus_text(_figures(config, sources))

    if options.serve:
        _serve(read)
    elif options.push:
        from inventory_assets.telemetry.figures_push import push_figures

        return 0 if push_figures(_figures(config, sources)) else NOT_SENT
    elif options.out:
        from inventory_assets.inventory.export.exporter import atomic_file

        text = read().encode()
        with atomic_file(options.out) as file:
            file.write(text)
        if options.out.is_file():
            options.out.chmod(0o644)  # the collector runs as another user
    else:
        sys.stdout.write(read())
    return 0


def _figures(config: "Config", sources: "Sequence[Source]") -> "list[Figure]":
    """The figures of some sources; one that cannot be read is a figure, and a message."""
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.telemetry.source_figures import (
        figures_read_at,
        read_records,
        source_figures,
    )
    from inventory_assets.wiring.results import open_results

    figures = [figures_read_at(datetime.now(UTC))]
    for source in sources:
        records = None
        try:
            store = open_results(config.store)
            records = read_records(store, Layout(source.bucket, source.folder_name))
        except (InventoryError, OSError) as error:
            text = printable(f"{source.name}: {error}")
            print(f"inventory: {text}", file=sys.stderr, flush=True)
        figures += source_figures(source.name, source.bucket, records)
    return figures


def _serve(read: Any) -> None:
    from inventory_assets.telemetry.environment import prometheus_address
    from inventory_assets.telemetry.figures_server import figures_server

    host, port = prometheus_address(os.environ)
    with figures_server(read, host, port) as server:
        place = f"http://{host}:{server.server_port}/metrics"
        print(f"inventory: figures are at {place}; ends with Ctrl-C", file=sys.stderr, flush=True)
        server.serve_forever()
