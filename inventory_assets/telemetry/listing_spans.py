"""The spans of a listing: the run, its shards, their ranges, and a bounded choice of pages.

No span says which keys it is about. Shards and ranges have numbers instead: a shard that of its
place in the run, a range that of its place in the shard's evidence.
"""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.util.types import AttributeValue

from inventory_assets.s3.request_observer import RequestEnd
from inventory_assets.scan.engine.events import (
    Event,
    JobFailed,
    ListingJob,
    ObjectsListed,
    RangeCompleted,
    RangeSplit,
)
from inventory_assets.telemetry.conventions import (
    AWS_REQUEST_ID,
    BUCKET,
    ERROR_TYPE,
    KEYS,
    METHOD,
    PAGE_REASON,
    RANGE,
    REQUESTS,
    RESPONSE_BYTES,
    RPC_METHOD,
    RPC_SERVICE,
    RPC_SYSTEM,
    SERVER_ADDRESS,
    SERVER_PORT,
    SHARD,
    STATUS,
)
from inventory_assets.telemetry.listing_metrics import error_type
from inventory_assets.telemetry.subject import Subject, Work

MAX_SHARD_SPANS, MAX_RANGE_SPANS = 1_000, 300
"""Maximum spans of shards and of ranges in a run."""

RANGES_PER_SHARD = 30
"""Maximum spans of ranges in a shard, so that the first shards do not take them all."""

MAX_NOTABLE_PAGES = 300
"""Maximum spans of pages that failed or were slow in a run; a listing of a billion keys has a
million pages. Besides, the first page of a range with a span has one."""

SLOW_SECONDS = 0.8
"""A page that takes longer has a span. It is the upper latency band of the run's heat map."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Request ids that are kept, as a store may send anything."""

_RECEIVED = contexts.create_key("inventory_assets_range")


@dataclass(slots=True)
class _ReceivedRange:
    """The range that a task receives.

    Attributes:
        span: The context of its span; that of its shard or run where it has none.
        wants_page: Whether its next page has a span.
    """

    span: Context
    wants_page: bool


@dataclass(slots=True)
class _ShardSpan:
    """The span of a shard.

    Attributes:
        span: The span; None if there were too many.
        context: The parent of its ranges.
        open_ranges: Ranges that are not completed.
        spans_left: How many spans of ranges may still begin.
        keys: The keys found.
    """

    span: Span | None
    context: Context
    open_ranges: int
    spans_left: int = RANGES_PER_SHARD
    keys: int = 0


@dataclass(slots=True)
class _Left:
    """How many spans of each kind may still begin."""

    shards: int = MAX_SHARD_SPANS
    ranges: int = MAX_RANGE_SPANS
    pages: int = MAX_NOTABLE_PAGES


@dataclass(slots=True, eq=False)
class ListingSpans:
    """Begins and ends the spans of a run; thread-safe.

    Attributes:
        tracer: Makes the spans.
        subject: What is listed.
        run: The span of the run.
    """

    tracer: Tracer
    subject: Subject
    run: Span
    _left: _Left = field(default_factory=_Left)
    _shards: dict[ListingJob, _ShardSpan] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls, tracer: Tracer, subject: Subject) -> "ListingSpans":
        """Begin the span of a run."""
        attributes = {**subject.attributes, **subject.run}
        span = tracer.start_span(f"inventory.{subject.work.value}", attributes=attributes)
        return cls(tracer, subject, span)

    @property
    def trace_id(self) -> str:
        """The id of the trace, in hexadecimal."""
        return f"{self.run.get_span_context().trace_id:032x}"

    @contextmanager
    def receiving(self, job: ListingJob, index: int) -> Iterator[None]:
        """See `ScanObserver`."""
        with self._lock:
            shard = self._shard(job)
            has_span = min(self._left.ranges, shard.spans_left) > 0
            self._left.ranges -= has_span
            shard.spans_left -= has_span
        parent = shard.context
        span = None
        if has_span:
            span = self.tracer.start_span(
                "inventory.range", context=parent, attributes={RANGE: index}
            )
            parent = set_span_in_context(span, parent)
        token = contexts.attach(
            contexts.set_value(_RECEIVED, _ReceivedRange(parent, has_span), parent)
        )
        try:
            yield
        except BaseException as error:
            if span is not None:
                _fail(span, type(error).__name__)
            raise
        finally:
            contexts.detach(token)
            if span is not None:
                span.end()

    def request_ended(self, end: RequestEnd) -> None:
        """Add a span for a request that failed, was slow, or was the first of its range."""
        found = contexts.get_value(_RECEIVED)
        place = found if isinstance(found, _ReceivedRange) else None
        reason = self._reason(end, place)
        if reason is None:
            return
        ended_at = time.time_ns()
        span = self.tracer.start_span(
            f"S3.{end.operation}",
            context=place.span if place else set_span_in_context(self.run, Context()),
            kind=SpanKind.CLIENT,
            attributes={**self._page_attributes(end), PAGE_REASON: reason},
            start_time=ended_at - int(end.seconds * 1e9),
        )
        failure = error_type(end)
        if failure is not None:
            _fail(span, failure)
        span.end(ended_at)

    def on_event(self, event: Event) -> None:
        """Add an event to the span of its shard, which ends with its last range or its failure."""
        with self._lock:
            shard = self._shard(event.job)
            match event:
                case ObjectsListed(objects=objects):
                    shard.keys += objects.num_rows
                case RangeSplit():
                    shard.open_ranges += 1
                case RangeCompleted():
                    shard.open_ranges -= 1
                    if not shard.open_ranges:
                        _end(shard, event.job)
                case JobFailed(error=error):
                    if shard.span is not None:
                        _fail(shard.span, type(error).__name__)
                    _end(shard, event.job)
                case _:
                    pass

    def end(self, error: BaseException | None) -> None:
        """End the spans of the run, and of shards that did not come to an end."""
        with self._lock:
            keys = sum(shard.keys for shard in self._shards.values())
            for job, shard in self._shards.items():
                _end(shard, job)
            stats = {id(job.stats): job.stats for job in self._shards}
            requests = sum(each.requests for each in stats.values())
        if self.subject.work is Work.LISTING:
            self.run.set_attributes({KEYS: keys, REQUESTS: requests})
        if error is not None:
            _fail(self.run, type(error).__name__)
        self.run.end()

    def _shard(self, job: ListingJob) -> _ShardSpan:
        """The span of a shard, which begins with it; the caller holds the lock."""
        shard = self._shards.get(job)
        if shard is None:
            parent = set_span_in_context(self.run, Context())
            span = None
            if self._left.shards > 0:
                self._left.shards -= 1
                index = len(self._shards)
                span = self.tracer.start_span(
                    "inventory.shard", context=parent, attributes={SHARD: index}
                )
                parent = set_span_in_context(span, parent)
            shard = self._shards[job] = _ShardSpan(span, parent, len(job.ranges))
        return shard

    def _reason(self, end: RequestEnd, place: _ReceivedRange | None) -> str | None:
        """Why a page has a span; None if it has none."""
        if place is not None and place.wants_page:
            place.wants_page = False
            return "first"
        if end.is_success and end.seconds <= SLOW_SECONDS:
            return None
        with self._lock:
            if self._left.pages <= 0:
                return None
            self._left.pages -= 1
        return "slow" if end.is_success else "failed"

    def _page_attributes(self, end: RequestEnd) -> dict[str, AttributeValue]:
        of_bucket = self.subject.attributes
        attributes: dict[str, AttributeValue] = {
            name: of_bucket[name]
            for name in (BUCKET, SERVER_ADDRESS, SERVER_PORT)
            if name in of_bucket
        }
        attributes |= {
            RPC_SYSTEM: "aws-api",
            RPC_SERVICE: "S3",
            RPC_METHOD: end.operation,
            METHOD: end.method,
        }
        if end.status is not None:
            attributes |= {STATUS: end.status, RESPONSE_BYTES: end.response_bytes}
        if end.request_id is not None and _REQUEST_ID.fullmatch(end.request_id):
            attributes[AWS_REQUEST_ID] = end.request_id
        return attributes


def _end(shard: _ShardSpan, job: ListingJob) -> None:
    if shard.span is not None and shard.span.is_recording():
        shard.span.set_attributes({KEYS: shard.keys, REQUESTS: job.stats.requests})
        shard.span.end()


def _fail(span: Span, kind: str) -> None:
    """Mark a span as failed, by the kind of the error: its message may name keys."""
    span.set_attribute(ERROR_TYPE, kind)
    span.set_status(Status(StatusCode.ERROR))
