"""What a listing really sends, as an OTLP receiver decodes it."""

import io
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inventory_assets.s3.errors import AccessDenied
from inventory_assets.s3.latency_histogram import upper_bound
from inventory_assets.s3.request_observer import RequestEnd
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.engine.progress import Elsewhere, Progress, ignore_events
from inventory_assets.telemetry.listing_spans import (
    MAX_NOTABLE_PAGES,
    MAX_RANGE_SPANS,
    MAX_SHARD_SPANS,
    RANGES_PER_SHARD,
    ListingSpans,
)
from inventory_assets.telemetry.listing_telemetry import listing_telemetry
from inventory_assets.telemetry.subject import subject_of
from inventory_assets_tests.fakes.http_bucket import HttpBucket
from inventory_assets_tests.fakes.otlp_receiver import GrpcReceiver, HttpReceiver
from inventory_assets_tests.fakes.scripted_server import Answer, error_document
from inventory_assets_tests.key_spaces import key_sets
from inventory_assets_tests.telemetry.observed_listing import (
    BUCKET,
    list_observed,
    set_environment,
)

KEYS = [f"folder-{number % 7}/{number:04}" for number in range(400)]
SLOW_DOWN = Answer(503, error_document("SlowDown"))
CLIENT = 3
MARKER = "MaRkEr"


@pytest.fixture(params=["http/protobuf", "grpc"])
def receiver(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HttpReceiver | GrpcReceiver]:
    kind = GrpcReceiver if request.param == "grpc" else HttpReceiver
    with kind() as server:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": server.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
        }
        set_environment(monkeypatch, variables)
        yield server


def test_spans_form_a_tree_from_the_run_to_its_pages(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    with HttpBucket(KEYS) as server:
        observed = list_observed(server, tmp_path / "out")
    sent = receiver.received
    (run,) = sent.named("inventory.listing")
    (shard,) = sent.named("inventory.shard")
    ranges, pages = sent.named("inventory.range"), sent.named("S3.ListObjectsV2")
    assert {span.trace_id for span in sent.spans} == {observed.trace_id}
    assert run.parent_id == ""
    assert shard.parent_id == run.span_id
    assert ranges
    assert {span.parent_id for span in ranges} == {shard.span_id}
    assert pages
    assert {span.parent_id for span in pages} <= {span.span_id for span in ranges}
    assert not any(span.is_error for span in sent.spans)
    assert run.attributes["inventory.keys"] == shard.attributes["inventory.keys"] == len(KEYS)


def test_a_page_follows_the_conventions_of_http_clients_and_s3(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    with HttpBucket(KEYS) as server:
        list_observed(server, tmp_path / "out")
        port = int(server.url.rpartition(":")[2])
    page = receiver.received.named("S3.ListObjectsV2")[0]
    assert page.kind == CLIENT
    assert page.seconds > 0
    attributes = dict(page.attributes)
    assert attributes.pop("http.response.body.size") > 0
    assert attributes.pop("aws.request_id").startswith("ID")
    assert attributes == {
        "aws.s3.bucket": BUCKET,
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "inventory.page.reason": "first",
        "rpc.method": "ListObjectsV2",
        "rpc.service": "S3",
        "rpc.system": "aws-api",
        "server.address": "127.0.0.1",
        "server.port": port,
    }


def test_metrics_agree_with_what_the_listing_counted(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    with HttpBucket(KEYS, failures={5: SLOW_DOWN, 8: SLOW_DOWN}) as server:
        listing = list_observed(server, tmp_path / "out").listing
        answered = len(server.seen)
    sent = receiver.received
    assert listing.rows == len(KEYS)
    assert sent.value("inventory.listing.keys") == len(KEYS)
    assert sent.value("http.client.request.duration") == answered == listing.requests
    assert sent.value("inventory.listing.checkpoints") >= 1
    assert sent.value("inventory.listing.ranges") >= 1
    assert sent.value("inventory.listing.received") > 100 * len(KEYS)
    assert sent.value("inventory.listing.request_limit") >= 1
    assert sent.value("http.client.active_requests") == 0
    assert sent.value("process.memory.usage") > 10_000_000


def test_requests_are_told_by_status_and_kind_of_error(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    failures = {4: SLOW_DOWN, 6: SLOW_DOWN, 7: Answer(reset=True), 9: Answer(500, b"")}
    with HttpBucket(KEYS, failures=failures) as server:
        list_observed(server, tmp_path / "out")
    found = {
        (
            point.attributes.get("http.response.status_code"),
            point.attributes.get("error.type"),
        ): point.value
        for point in receiver.received.points
        if point.name == "http.client.request.duration"
    }
    assert found.pop((200, None)) > 10
    assert found == {(503, "throttled"): 2, (None, "reset"): 1, (500, "server_error"): 1}
    failed = [span for span in receiver.received.named("S3.ListObjectsV2") if span.is_error]
    assert len(failed) == 4
    kinds = sorted(span.attributes["error.type"] for span in failed)
    assert kinds == ["reset", "server_error", "throttled", "throttled"]


def test_the_bounds_of_latencies_are_bounds_of_the_snapshots_histogram(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    with HttpBucket(KEYS) as server:
        list_observed(server, tmp_path / "out")
    (point,) = [each for each in receiver.received.points if each.bounds]
    assert set(point.bounds) <= {upper_bound(bucket) for bucket in range(-100, 100)}
    assert sum(point.buckets) == point.value


def test_an_exponential_histogram_has_the_buckets_of_the_snapshots_histogram(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "base2_exponential_bucket_histogram",
    )
    with HttpBucket(KEYS) as server:
        list_observed(server, tmp_path / "out")
    (point,) = [each for each in receiver.received.points if each.scale is not None]
    assert point.scale == 3
    assert sum(point.buckets) == point.value


def test_the_resource_names_the_service_and_this_process(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    with HttpBucket(KEYS) as server:
        list_observed(server, tmp_path / "out")
    names = {each["service.name"] for each in receiver.received.resources}
    instances = {each["service.instance.id"] for each in receiver.received.resources}
    assert names == {"inventory-assets"}
    assert len(instances) == 1
    assert all(
        each["deployment.environment.name"] == "test" for each in receiver.received.resources
    )


def test_the_store_is_sent_no_trace_context(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    with HttpBucket(KEYS) as server:
        list_observed(server, tmp_path / "out")
        names = {name for seen in server.seen for name in seen.headers}
    assert receiver.received.spans
    assert not names & {"traceparent", "tracestate", "baggage", "x-amzn-trace-id", "b3"}


def test_a_failed_listing_is_an_error_without_its_message(
    receiver: HttpReceiver | GrpcReceiver, tmp_path: Path
) -> None:
    denied = Answer(403, error_document("AccessDenied", f"no access to {MARKER}"))
    with (
        HttpBucket(KEYS, failures=dict.fromkeys(range(6, 900), denied)) as server,
        pytest.raises(AccessDenied),
    ):
        list_observed(server, tmp_path / "out")
    sent = receiver.received
    for name in ("inventory.listing", "inventory.shard"):
        (span,) = sent.named(name)
        assert span.is_error
        assert span.attributes["error.type"] == "AccessDenied"
        assert span.events == 0
    assert {span.attributes.get("error.type") for span in sent.named("S3.ListObjectsV2")} == {
        None,
        "403",
    }
    assert not any(MARKER.encode() in body for body in sent.bodies)


def test_log_lines_have_the_id_of_the_trace(receiver: HttpReceiver | GrpcReceiver) -> None:
    log, stream = logging.getLogger("inventory_assets"), io.StringIO()
    shown = logging.StreamHandler(stream)
    log.addHandler(shown)
    try:
        with listing_telemetry(lambda: subject_of(BUCKET, None)) as telemetry:
            logging.getLogger("inventory_assets.of.a.listing").warning("%s keys", 12)
        log.warning("afterwards")
    finally:
        log.removeHandler(shown)
    (run,) = receiver.received.named("inventory.listing")
    assert telemetry.trace_id == run.trace_id
    assert stream.getvalue() == f"12 keys trace_id={run.trace_id}\nafterwards\n"


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(keys=key_sets(40), cut=st.integers(0, 6), failing=st.sets(st.integers(2, 30), max_size=6))
def test_no_key_prefix_or_secret_is_in_anything_sent(
    keys: list[str],
    cut: int,
    failing: set[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = MARKER[:cut]
    failures = [SLOW_DOWN, Answer(reset=True), Answer(body=MARKER.encode()), Answer(500, b"")]
    given_failures = {
        number: failures[place % len(failures)] for place, number in enumerate(sorted(failing))
    }
    secrets = {
        "AWS_ACCESS_KEY_ID": "AKID-must-not-be-sent",
        "AWS_SECRET_ACCESS_KEY": "secret-must-not-be-sent",
    }
    with (
        HttpReceiver() as receiver,
        HttpBucket((f"{MARKER}{key}{MARKER}" for key in keys), failures=given_failures) as server,
    ):
        url = receiver.url.replace("http://", "http://user:password-must-not-be-sent@")
        with monkeypatch.context() as patch:
            set_environment(patch, {"OTEL_EXPORTER_OTLP_ENDPOINT": url})
            for name, secret in secrets.items():
                patch.setenv(name, secret)
            listing = list_observed(server, tmp_path / "out", prefix).listing
    assert listing.rows == len(keys)
    sent = receiver.received
    assert sent.spans
    assert sent.value("inventory.listing.keys") == len(keys)
    for body in sent.bodies:
        assert MARKER.encode() not in body
        assert b"must-not-be-sent" not in body


def test_the_spans_of_a_run_are_bounded() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = ListingSpans.start(provider.get_tracer("test"), subject_of(BUCKET, None))
    slow = RequestEnd("ListObjectsV2", "GET", 2.0, 200, 1, None, None, is_success=True)
    for shard in range(MAX_SHARD_SPANS + 5):
        job = ListingJob(f"{shard}/", [])
        for number in range(RANGES_PER_SHARD + 5 if shard < 20 else 1):
            with spans.receiving(job, number):
                spans.request_ended(slow)
                spans.request_ended(slow)
    spans.end(None)
    names = Counter(span.name for span in exporter.get_finished_spans())
    assert names == {
        "inventory.listing": 1,
        "inventory.shard": MAX_SHARD_SPANS,
        "inventory.range": MAX_RANGE_SPANS,
        "S3.ListObjectsV2": MAX_RANGE_SPANS + MAX_NOTABLE_PAGES,
    }


def test_the_progress_of_other_processes_counts(
    receiver: HttpReceiver | GrpcReceiver,
) -> None:
    progress = Progress(70, 1.0, 3, 1, 5, 8, {}, 1.0, None, is_at_least=False)
    with listing_telemetry(lambda: subject_of(BUCKET, None)) as telemetry:
        report = telemetry.reported(ignore_events)
        for process in (1, 2, 2):
            report(Elsewhere(process, progress))
    sent = receiver.received
    assert sent.value("inventory.listing.keys") == 140
    assert sent.value("inventory.listing.ranges") == 6
    assert sent.value("http.client.active_requests") == 10
    assert sent.value("inventory.listing.request_limit") == 16
