"""Whatever is wrong with telemetry, a listing goes on: one warning, no stack trace, no delay."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from inventory_assets.telemetry import providers
from inventory_assets.telemetry.exporter_log import ExporterLog
from inventory_assets.telemetry.listing_telemetry import OFF, listing_telemetry
from inventory_assets.telemetry.providers import INTERRUPTED_SECONDS
from inventory_assets.telemetry.subject import subject_of
from inventory_assets_tests.fakes.http_bucket import HttpBucket
from inventory_assets_tests.fakes.otlp_receiver import HttpReceiver
from inventory_assets_tests.telemetry.observed_listing import (
    BUCKET,
    list_observed,
    set_environment,
)

KEYS = [f"{number:03}" for number in range(100)]
SOON = 0.3
PROTOCOLS = ["http/protobuf", "grpc"]


@contextmanager
def closed_port() -> Iterator[str]:
    """The URL of a port at which nobody listens, and which nobody else can take."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def silent_port() -> Iterator[str]:
    """The URL of a port that accepts connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _short_bound(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(providers, "SHUTDOWN_SECONDS", SOON)
    yield
    wait_for_end()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The warnings of this package; pytest also shows what the SDK logs and nobody else sees."""
    return [
        each
        for each in caplog.records
        if each.levelno >= logging.WARNING and each.name.startswith("inventory_assets")
    ]


def wait_for_end() -> None:
    """Wait until the threads of telemetry have ended, which outlive a listing."""
    for thread in threading.enumerate():
        if thread.name == "end of telemetry":
            thread.join(60)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("port", ["closed", "silent"])
def test_a_collector_that_cannot_be_reached_is_one_warning(
    protocol: str,
    port: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    opened = closed_port() if port == "closed" else silent_port()
    with opened as url, HttpBucket(KEYS) as server:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret",
        }
        set_environment(monkeypatch, variables)
        assert list_observed(server, tmp_path / "out").listing.rows == len(KEYS)
        wait_for_end()
    (warning,) = warnings_of(caplog)
    message = warning.getMessage()
    assert message.startswith(f"telemetry could not be sent to {url.removeprefix('http://')}")
    assert "secret" not in message
    assert warning.exc_info is None
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_collector_that_refuses_is_one_warning_with_its_status(
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(providers, "SHUTDOWN_SECONDS", 5)
    with HttpReceiver(status) as receiver, HttpBucket(KEYS) as server:
        set_environment(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url})
        assert list_observed(server, tmp_path / "out").listing.rows == len(KEYS)
        wait_for_end()
    (message,) = [each.getMessage() for each in warnings_of(caplog)]
    assert status == 500 or f"({status})" in message


def test_the_end_of_a_listing_waits_for_a_silent_collector_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silent_port() as url:
        set_environment(
            monkeypatch,
            {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "8"},
        )
        context = listing_telemetry(lambda: subject_of(BUCKET, None))
        context.__enter__()
        began = time.monotonic()
        context.__exit__(None, None, None)
        assert time.monotonic() - began < SOON + 5


def test_an_interrupted_listing_does_not_wait_for_a_silent_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(providers, "SHUTDOWN_SECONDS", 60)
    with silent_port() as url:
        set_environment(
            monkeypatch,
            {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "8"},
        )
        began = time.monotonic()
        with (
            pytest.raises(KeyboardInterrupt),
            listing_telemetry(lambda: subject_of(BUCKET, None)),
        ):
            raise KeyboardInterrupt
        assert time.monotonic() - began < INTERRUPTED_SECONDS + 5


def test_a_wrong_variable_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_environment(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"})
    with HttpBucket(KEYS) as server:
        assert list_observed(server, tmp_path / "out").listing.rows == len(KEYS)
    (message,) = [each.getMessage() for each in warnings_of(caplog)]
    assert message.startswith("OTEL_EXPORTER_OTLP_ENDPOINT is no URL")


def test_a_port_that_is_in_use_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with silent_port() as url, HttpBucket(KEYS) as server:
        port = url.rpartition(":")[2]
        variables = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        set_environment(monkeypatch, variables)
        assert list_observed(server, tmp_path / "out").listing.rows == len(KEYS)
    (message,) = [each.getMessage() for each in warnings_of(caplog)]
    assert f"port {port} of 127.0.0.1 cannot be opened" in message
    assert "OTEL_EXPORTER_PROMETHEUS_PORT" in message


def test_without_the_extra_a_listing_goes_on_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "inventory_assets.telemetry.providers")
    monkeypatch.delattr("inventory_assets.telemetry.providers")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    set_environment(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    with HttpBucket(KEYS) as server:
        assert list_observed(server, tmp_path / "out").listing.rows == len(KEYS)
    (message,) = [each.getMessage() for each in warnings_of(caplog)]
    assert "pip install 'inventory-assets[telemetry]'" in message
    assert "opentelemetry.sdk.metrics is not installed" in message


def test_the_sdk_has_its_own_logging_back_after_a_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    sdk = logging.getLogger("opentelemetry")

    def ours() -> list[logging.Handler]:
        return [each for each in sdk.handlers if isinstance(each, ExporterLog)]

    with closed_port() as url:
        set_environment(
            monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        )
        with listing_telemetry(lambda: subject_of(BUCKET, None)):
            assert len(ours()) == 1
            assert not sdk.propagate
        wait_for_end()
    assert ours() == []
    assert sdk.propagate


def test_telemetry_that_is_off_observes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_environment(monkeypatch, {})

    def report(_event: object) -> None:
        pass

    with listing_telemetry(lambda: pytest.fail("described")) as telemetry:
        assert telemetry is OFF
        assert telemetry.requests is None
        assert telemetry.trace_id is None
        assert telemetry.reported(report) is report


def test_a_listing_without_telemetry_does_not_import_opentelemetry(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from inventory_assets.cli import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "print(sorted(name for name in sys.modules if name.startswith('opentelemetry')))\n"
    )
    with HttpBucket(KEYS) as server:
        arguments = ["list", f"s3://{BUCKET}", "--out", str(tmp_path / "out"), "--anonymous"]
        arguments += ["--endpoint-url", server.url, "--addressing-style", "path"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
