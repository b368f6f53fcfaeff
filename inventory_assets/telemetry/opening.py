"""Open the telemetry that the environment asks for; whatever is wrong with it is a warning.

This module imports no OpenTelemetry until it opens something.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inventory_assets.telemetry.environment import Requested, TelemetryRefused, endpoint_of

if TYPE_CHECKING:
    from inventory_assets.telemetry.exporter_log import ExporterLog
    from inventory_assets.telemetry.providers import Providers

LOG = logging.getLogger(__name__)


def warn_of(mistakes: Iterable[str]) -> None:
    """Warn of wrong values in the environment."""
    for mistake in mistakes:
        LOG.warning("%s; nothing is sent there, and the work goes on", mistake)


@dataclass(frozen=True, slots=True)
class OpenTelemetry:
    """The open providers, and the log of their exporters.

    Attributes:
        providers: The providers.
        log: Warns if something cannot be sent.
    """

    providers: "Providers"
    log: "ExporterLog"

    def end(self, *, is_interrupted: bool = False) -> bool:
        """Send what is left, within a bound; return whether everything could be sent."""
        from inventory_assets.telemetry.providers import INTERRUPTED_SECONDS, SHUTDOWN_SECONDS

        seconds = INTERRUPTED_SECONDS if is_interrupted else SHUTDOWN_SECONDS
        if not self.providers.end(self.log.close, seconds):
            self.log.warn()
        return not self.log.has_warned


def open_telemetry(requested: Requested, environ: Mapping[str, str]) -> OpenTelemetry | None:
    """Open the providers; None, with a warning, if that is not possible."""
    from inventory_assets.telemetry.exporter_log import ExporterLog

    signals = [name for name in ("traces", "metrics") if getattr(requested, name)]
    places = dict.fromkeys(endpoint_of(environ, signal) for signal in signals)
    log = ExporterLog(lambda: " and ".join(places))
    try:
        from inventory_assets.telemetry.providers import open_providers

        return OpenTelemetry(open_providers(requested), log)
    except ImportError as error:
        LOG.warning(
            "the OTEL_* variables ask for telemetry, but %s is not installed; install it: "
            "pip install 'inventory-assets[telemetry]', or set OTEL_SDK_DISABLED=true",
            error.name or "OpenTelemetry",
        )
    except TelemetryRefused as error:
        LOG.warning("telemetry is off: %s; the work goes on", error)
    except Exception as error:  # noqa: BLE001 - whatever the SDK refuses must not end a listing
        LOG.warning(
            "telemetry is off, as OpenTelemetry refuses the OTEL_* variables (%s); the listing "
            "goes on",
            type(error).__name__,
        )
    log.close()
    return None
