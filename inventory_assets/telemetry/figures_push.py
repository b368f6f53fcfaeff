"""Send figures by OTLP, once."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from inventory_assets.telemetry.environment import TelemetryRefused, read_environment
from inventory_assets.telemetry.opening import open_telemetry, warn_of
from inventory_assets.telemetry.source_figures import Figure

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation


def push_figures(figures: Iterable[Figure], environ: Mapping[str, str] = os.environ) -> bool:
    """Send figures as gauges; return whether all could be sent, otherwise there is a warning.

    Args:
        figures: The figures.
        environ: The environment.

    Raises:
        TelemetryRefused: The environment names no place to send metrics to.
    """
    requested = read_environment(environ)
    warn_of(requested.mistakes)
    if "otlp" not in requested.metrics:
        raise TelemetryRefused(
            "the OTEL_* variables name no place to send metrics to; set "
            "OTEL_EXPORTER_OTLP_ENDPOINT to the URL of a collector"
        )
    opened = open_telemetry(replace(requested, traces=(), metrics=("otlp",)), environ)
    if opened is None or opened.providers.meter is None:
        return False
    of_name: dict[str, list[Figure]] = {}
    for figure in figures:
        of_name.setdefault(figure.name, []).append(figure)
    for name, same in of_name.items():
        opened.providers.meter.create_observable_gauge(
            name, [_observed(same)], same[0].unit, same[0].description
        )
    return opened.end()


def _observed(
    figures: Sequence[Figure],
) -> "Callable[[CallbackOptions], Iterator[Observation]]":
    from opentelemetry.metrics import Observation

    def observe(_options: "CallbackOptions") -> "Iterator[Observation]":
        for figure in figures:
            yield Observation(figure.value, dict(figure.attributes))

    return observe
