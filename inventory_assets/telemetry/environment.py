"""Read which signals the `OTEL_*` variables ask for, and find mistakes in their values.

The SDK reads the other variables itself. It reports wrong values of some in a stack trace, and
fails for others, so the ones that a user is likely to set are checked here first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from inventory_assets.errors import InventoryError

HTTP, GRPC = "http/protobuf", "grpc"

_PORT = "OTEL_EXPORTER_PROMETHEUS_PORT"

_SIGNALS = {"traces": ("otlp", "console"), "metrics": ("otlp", "console", "prometheus")}
"""The exporters of each signal."""

_NUMBERS = (
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_METRIC_EXPORT_INTERVAL",
    "OTEL_METRIC_EXPORT_TIMEOUT",
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "OTEL_EXPORTER_OTLP_COMPRESSION": ("none", "gzip", "deflate"),
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION": (
        "explicit_bucket_histogram",
        "base2_exponential_bucket_histogram",
    ),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": ("cumulative", "delta", "lowmemory"),
    "OTEL_METRICS_EXEMPLAR_FILTER": ("always_on", "always_off", "trace_based"),
    "OTEL_TRACES_SAMPLER": (
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
}
MAX_PORT = 65_535

DEFAULT_PROMETHEUS_HOST, DEFAULT_PROMETHEUS_PORT = "127.0.0.1", 9464
"""Where figures are offered, unless the environment says otherwise."""


@dataclass(frozen=True, slots=True)
class Requested:
    """The telemetry that the environment asks for.

    Attributes:
        traces: The exporters of traces; empty if traces are off.
        metrics: The exporters of metrics; empty if metrics are off.
        protocols: The protocol of OTLP for each signal.
        mistakes: A sentence for each wrong value; the signal that it concerns is off.
    """

    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    protocols: Mapping[str, str] | None = None
    mistakes: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether anything is to be exported."""
        return bool(self.traces or self.metrics)

    def protocol(self, signal: str) -> str:
        """The protocol of OTLP for a signal."""
        return (self.protocols or {}).get(signal, HTTP)


class TelemetryRefused(InventoryError):
    """Telemetry cannot be opened as the environment asks for it; listings go on without it."""


NOTHING_REQUESTED = Requested()


def read_environment(environ: Mapping[str, str]) -> Requested:
    """What the variables of an environment ask for.

    As OpenTelemetry has it, an empty variable counts as unset, and words are not case-sensitive.
    Other than there, nothing is exported unless an endpoint or an exporter is named.
    """
    given = {name: value.strip() for name, value in environ.items() if name.startswith("OTEL_")}
    given = {name: value for name, value in given.items() if value}
    if not given or given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NOTHING_REQUESTED
    exporters: dict[str, tuple[str, ...]] = {}
    protocols: dict[str, str] = {}
    mistakes: list[str] = []
    for signal, known in _SIGNALS.items():
        exporters[signal] = _exporters(given, signal, known, mistakes)
        if "otlp" in exporters[signal]:
            protocols[signal] = _protocol(given, signal, mistakes)
            if not (protocols[signal] and _is_endpoint(given, signal, protocols, mistakes)):
                exporters[signal] = tuple(each for each in exporters[signal] if each != "otlp")
    if not any(exporters.values()) and not mistakes:
        return NOTHING_REQUESTED
    wrong = [*_wrong_numbers(given), *_wrong_choices(given)]
    if wrong:  # the SDK would fail, or ignore them without a word
        return Requested(mistakes=(*dict.fromkeys(mistakes), *wrong))
    return Requested(
        exporters["traces"], exporters["metrics"], protocols, tuple(dict.fromkeys(mistakes))
    )


def endpoint_of(environ: Mapping[str, str], signal: str) -> str:
    """The host and port to which a signal is sent, without a password; for messages."""
    name = _name_of_endpoint(environ, signal)
    if name is None:
        return "localhost"
    try:
        parts = urlsplit(environ[name].strip())
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return f"the endpoint in {name}"
    return f"{parts.hostname}{port}" if parts.hostname else f"the endpoint in {name}"


def prometheus_address(environ: Mapping[str, str]) -> tuple[str, int]:
    """The host and port at which figures are offered.

    Raises:
        TelemetryRefused: The port is none.
    """
    host = environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip()
    port = environ.get(_PORT, "").strip()
    if port and not _is_port(port):
        raise TelemetryRefused(_mistake(_PORT, port, f"a port up to {MAX_PORT}"))
    return host or DEFAULT_PROMETHEUS_HOST, int(port) if port else DEFAULT_PROMETHEUS_PORT


def _exporters(
    given: Mapping[str, str], signal: str, known: tuple[str, ...], mistakes: list[str]
) -> tuple[str, ...]:
    name = f"OTEL_{signal.upper()}_EXPORTER"
    if name not in given:
        return ("otlp",) if _name_of_endpoint(given, signal) else ()
    asked = dict.fromkeys(each.strip().lower() for each in given[name].split(","))
    found: list[str] = []
    for each in asked:
        if each in known:
            found.append(each)
        elif each not in {"none", ""}:
            mistakes.append(_mistake(name, each, ", ".join([*known, "none"])))
    return tuple(found)


def _protocol(given: Mapping[str, str], signal: str, mistakes: list[str]) -> str:
    """The protocol of a signal; empty if it is unknown."""
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if name in given:
            protocol = given[name].lower()
            if protocol not in {HTTP, GRPC}:
                mistakes.append(_mistake(name, protocol, f"{HTTP}, {GRPC}"))
                return ""
            return protocol
    return HTTP


def _is_endpoint(
    given: Mapping[str, str], signal: str, protocols: Mapping[str, str], mistakes: list[str]
) -> bool:
    """Whether a signal can be sent to its endpoint.

    The value may hold a password, so no message repeats it.
    """
    name = _name_of_endpoint(given, signal)
    if name is None:
        return True
    try:
        parts = urlsplit(given[name])
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        is_url = False
    # gRPC endpoints are often written as host:port.
    is_name = protocols[signal] == GRPC and "://" not in given[name] and ":" in given[name]
    if not is_url and not is_name:
        mistakes.append(
            f"{name} is no URL; expected one such as http://localhost:4318 (gRPC: "
            "http://localhost:4317)"
        )
    return is_url or is_name


def _name_of_endpoint(given: Mapping[str, str], signal: str) -> str | None:
    names = (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return next((name for name in names if given.get(name, "").strip()), None)


def _wrong_numbers(given: Mapping[str, str]) -> list[str]:
    wrong = [name for name in _NUMBERS if name in given and not _is_number(given[name])]
    found = [_mistake(name, given[name], "a number above 0") for name in wrong]
    if _PORT in given and not _is_port(given[_PORT]):
        found.append(_mistake(_PORT, given[_PORT], f"a port up to {MAX_PORT}"))
    return found


def _wrong_choices(given: Mapping[str, str]) -> list[str]:
    return [
        _mistake(name, given[name], ", ".join(choices))
        for name, choices in _CHOICES.items()
        if name in given and given[name].lower() not in choices
    ]


def _is_number(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False


def _is_port(text: str) -> bool:
    return text.isdecimal() and int(text) <= MAX_PORT


def _mistake(name: str, found: str, expected: str) -> str:
    return f"{name} is {found[:80]!a}; expected {expected}"
