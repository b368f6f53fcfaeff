"""Which telemetry the `OTEL_*` variables ask for."""

import pytest

from inventory_assets.telemetry.environment import (
    GRPC,
    HTTP,
    NOTHING_REQUESTED,
    TelemetryRefused,
    endpoint_of,
    prometheus_address,
    read_environment,
)

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"PATH": "/bin"},
        {"OTEL_SERVICE_NAME": "mine"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "None"},
    ],
)
def test_telemetry_is_off_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    assert read_environment(environ) == NOTHING_REQUESTED


def test_an_endpoint_asks_for_traces_and_metrics() -> None:
    found = read_environment(ENDPOINT)
    assert (found.traces, found.metrics, found.mistakes) == (("otlp",), ("otlp",), ())
    assert found.protocol("traces") == found.protocol("metrics") == HTTP


def test_an_endpoint_of_one_signal_asks_for_it_alone() -> None:
    found = read_environment({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector/v1/metrics"})
    assert (found.traces, found.metrics) == ((), ("otlp",))


def test_each_signal_has_its_exporters_and_protocol() -> None:
    found = read_environment(
        {
            "OTEL_TRACES_EXPORTER": "OTLP",
            "OTEL_METRICS_EXPORTER": "prometheus, otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
        }
    )
    assert (found.traces, found.metrics) == (("otlp",), ("prometheus", "otlp"))
    assert (found.protocol("traces"), found.protocol("metrics")) == (GRPC, HTTP)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "otlp, console, none"),
        ("OTEL_METRICS_EXPORTER", "statsd", "otlp, console, prometheus, none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf, grpc"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon", "a number above 0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "a number above 0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan", "a number above 0"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "none, gzip, deflate"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "70000", "a port up to 65535"),
        ("OTEL_TRACES_SAMPLER", "some", "always_on, always_off"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(
    variable: str, value: str, expected: str
) -> None:
    (mistake,) = read_environment({**ENDPOINT, variable: value}).mistakes
    assert mistake.startswith(f"{variable} is {value!r}; expected {expected}")


def test_a_wrong_value_of_one_signal_leaves_the_other_on() -> None:
    found = read_environment({**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"})
    assert (found.traces, found.metrics, len(found.mistakes)) == ((), ("otlp",), 1)


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://host", "http:///path", "http://host:port", "http://["]
)
def test_an_endpoint_that_is_no_url_is_not_repeated(url: str) -> None:
    found = read_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert not found.is_on
    (mistake,) = found.mistakes
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in mistake
    assert url not in mistake


def test_an_endpoint_of_grpc_may_be_a_host_and_a_port() -> None:
    found = read_environment(
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }
    )
    assert found.is_on
    assert not found.mistakes


def test_an_endpoint_is_shown_without_its_password() -> None:
    url = "https://user:password@collector:4318/path?token=secret"
    assert endpoint_of({"OTEL_EXPORTER_OTLP_ENDPOINT": url}, "traces") == "collector:4318"
    assert endpoint_of({}, "traces") == "localhost"


def test_figures_are_offered_to_this_machine_unless_told_otherwise() -> None:
    assert prometheus_address({}) == ("127.0.0.1", 9464)
    elsewhere = {"OTEL_EXPORTER_PROMETHEUS_HOST": "0.0.0.0"}  # noqa: S104 - only read
    assert prometheus_address({**elsewhere, "OTEL_EXPORTER_PROMETHEUS_PORT": "80"}) == (
        "0.0.0.0",  # noqa: S104
        80,
    )
    with pytest.raises(TelemetryRefused, match="OTEL_EXPORTER_PROMETHEUS_PORT is 'x'"):
        prometheus_address({"OTEL_EXPORTER_PROMETHEUS_PORT": "x"})
