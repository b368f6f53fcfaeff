"""Outages on a virtual clock: the duration of retries, and the log lines."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.exceptions import NewConnectionError

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.errors import AccessDenied, RetriesExhausted, S3Error, TransientError
from inventory_assets.s3.http.response import RequestContext, Response, seconds_of
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.outages import OutageLog
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets_tests.fakes.idle_transport import IdleTransport
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.virtual_time import VirtualLoop

_SENT = RequestContext("nowhere", timedelta(0), None)
_BUSY = b"<Error><Code>SlowDown</Code></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code></Error>"
_GOOD = render([Listed("k")])
LATENCY = 0.05

Answers = Callable[[float, str], tuple[int, bytes, dict[str, str]]]
"""What the store answers at a time to a request with a prefix; it raises where nobody answers."""


class Store(IdleTransport):
    """Replaces the transport, with responses that depend on the time."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self.asked: list[tuple[float, str]] = []

    async def get(self, parameters: Mapping[str, str], body: bytearray) -> Response:
        clock = asyncio.get_running_loop().time
        prefix = parameters.get("prefix", "")
        self.asked.append((clock(), prefix))
        await asyncio.sleep(LATENCY)
        status, body[:], headers = self._answers(clock(), prefix)
        return Response(status, headers, body, _SENT)


class Lister(ListClient):
    """Lists the keys of a `Store`."""

    def __init__(self, answers: Answers, retry: RetryPolicy, in_flight: int = 8) -> None:
        self.store = Store(answers)
        bucket_config = BucketConfig("ours", "http://store", max_in_flight=in_flight)
        super().__init__(bucket_config, retry, transport=self.store)


def played(lister: Lister, prefixes: list[str]) -> tuple[list[object], float, RequestStats]:
    """The results of concurrent requests, their virtual duration and cost."""
    stats = RequestStats()

    async def all_pages() -> list[object]:
        pages = [lister.list_page(PageRequest(prefix), stats) for prefix in prefixes]
        return [*await asyncio.gather(*pages, return_exceptions=True)]

    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(all_pages()), loop.clock.now, stats


def away(until: float, error: Exception) -> Answers:
    """No response until a time."""

    def answers(now: float, _prefix: str) -> tuple[int, bytes, dict[str, str]]:
        if now < until:
            raise error
        return 200, _GOOD, {}

    return answers


def refused_by(until: float, status: int, body: bytes, headers: dict[str, str]) -> Answers:
    return lambda now, _: (status, body, headers) if now < until else (200, _GOOD, {})


@pytest.mark.parametrize("error", [ConnectionResetError(), TimeoutError()], ids=repr)
@given(seconds=st.floats(0, 299), requests=st.integers(1, 20))
@settings(max_examples=15)
def test_an_outage_of_less_than_the_budget_is_survived(
    error: Exception, seconds: float, requests: int
) -> None:
    lister = Lister(away(seconds, error), RetryPolicy())
    ends, lasted, _ = played(lister, ["p"] * requests)
    assert not any(isinstance(end, BaseException) for end in ends)
    assert lasted <= seconds + 20 + requests  # no wait is longer than the cap


@given(seconds=st.floats(0, 1800), outage=st.integers(0, 1800))
@settings(max_examples=30)
def test_the_budget_is_time_and_a_last_try_comes_at_its_end(seconds: float, outage: int) -> None:
    lister = Lister(away(seconds, ConnectionResetError()), RetryPolicy(outage_seconds=outage))
    (end,), lasted, stats = played(lister, [""])
    if isinstance(end, BaseException):
        assert isinstance(end, RetriesExhausted)
        assert seconds > outage
        assert LATENCY + outage - 1e-6 <= lasted <= outage + 2 * LATENCY + 1e-6
        assert re.search(f"within {outage} s", str(end))
    else:
        assert seconds <= outage + 2 * LATENCY + 1e-6
    # No storm either: as often as the backoff says, which soon reaches its cap.
    assert stats.requests <= 20 + outage


def test_a_request_that_always_fails_ends_although_others_succeed() -> None:
    def answers(_now: float, prefix: str) -> tuple[int, bytes, dict[str, str]]:
        return (500, b"", {}) if prefix == "bad" else (200, _GOOD, {})

    lister = Lister(answers, RetryPolicy(outage_seconds=60))
    ends, lasted, _ = played(lister, ["good", "bad", *["good"] * 30])
    assert [isinstance(end, RetriesExhausted) for end in ends].count(True) == 1
    assert 60 <= lasted <= 61


def test_a_permanent_error_during_an_outage_ends_at_once() -> None:
    def answers(now: float, _prefix: str) -> tuple[int, bytes, dict[str, str]]:
        if now < 10:
            raise ConnectionResetError
        return 403, _DENIED, {}

    (end,), lasted, _ = played(Lister(answers, RetryPolicy()), [""])
    assert isinstance(end, AccessDenied)
    assert lasted < 30


def test_malformed_responses_are_limited_in_number_not_only_in_time() -> None:
    lister = Lister(refused_by(1e9, 200, b"junk", {}), RetryPolicy(malformed_attempts=3))
    (end,), _, stats = played(lister, [""])
    assert isinstance(end, S3Error)
    assert stats.requests <= 3


@given(seconds=st.floats(5, 290), requests=st.integers(1, 8))
@settings(max_examples=20)
def test_the_end_of_refused_connections_is_noticed_within_two_seconds(
    seconds: float, requests: int
) -> None:
    lister = Lister(away(seconds, ConnectionRefusedError()), RetryPolicy())
    _patch_refused(lister)
    ends, lasted, _ = played(lister, ["p"] * requests)
    assert not any(isinstance(end, BaseException) for end in ends)
    assert lasted <= seconds + 2
    assert len(lister.store.asked) <= requests * (10 + 4 * seconds)


def _patch_refused(lister: Lister) -> None:
    """A refused connection, as the exception of urllib3."""
    get = lister.store.get

    async def told(parameters: Mapping[str, str], body: bytearray) -> Response:
        try:
            return await get(parameters, body)
        except ConnectionRefusedError as error:
            raise NewConnectionError(None, "no connection") from error  # type: ignore[arg-type]

    lister.store.get = told  # type: ignore[method-assign]


# Retry-After


@given(asked=st.integers(1, 250))
@settings(max_examples=20)
def test_retry_after_is_the_least_wait(asked: int) -> None:
    answers = refused_by(1e9, 503, _BUSY, {"retry-after": str(asked)})
    lister = Lister(answers, RetryPolicy())
    _, lasted, _ = played(lister, [""])
    moments = [moment for moment, _ in lister.store.asked]
    waits = [late - early for early, late in pairwise(moments)]
    assert all(wait >= asked for wait in waits[:-1])
    assert lasted <= 300 + 3 * LATENCY


def test_an_absurd_retry_after_is_limited_to_the_rest_of_the_budget() -> None:
    answers = refused_by(250, 503, _BUSY, {"retry-after": "999999999999"})
    (end,), lasted, stats = played(Lister(answers, RetryPolicy()), [""])
    assert not isinstance(end, BaseException)
    assert stats.requests == 2
    assert lasted <= 301


NOW = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, 0),
        ("", 0),
        ("17", 17),
        (" 17 ", 17),
        ("1.5", 1.5),
        ("-17", 0),
        ("soon", 0),
        ("9" * 400, 0),
        ("nan", 0),
        ("inf", 0),
        ("\u0661\u0667", 0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Sat, 99 Nov 2026 99:99:99 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(
    value: str | None, expected: float
) -> None:
    assert seconds_of(value, NOW) == expected


@given(st.text())
def test_no_retry_after_is_an_error(value: str) -> None:
    assert seconds_of(value, NOW) >= 0


# Log lines


def said_while(lister: Lister, prefixes: list[str], caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.INFO, "inventory_assets.s3"):
        played(lister, prefixes)
    return caplog.messages


def test_one_line_reports_an_outage_and_one_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lister = Lister(away(100, ConnectionResetError()), RetryPolicy())
    lines = said_while(lister, ["p"] * 64, caplog)
    waiting, over = lines[:-1], lines[-1]
    assert len(waiting) <= 1 + 100 // 30
    for line in waiting:
        assert re.fullmatch(
            r"bucket 'ours' at http://store: connections are reset for \d+ s; retrying until "
            r"\d\d:\d\d:\d\d UTC \(at most 300 s\)",
            line,
        )
    assert re.fullmatch(r"bucket 'ours' at http://store: responding again after \d+ s", over)


def test_short_outages_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    lister = Lister(away(1, ConnectionResetError()), RetryPolicy(cap_seconds=0.5))
    assert said_while(lister, ["p"] * 8, caplog) == []


def test_a_store_that_stays_down_is_not_reported_as_back(caplog: pytest.LogCaptureFixture) -> None:
    lister = Lister(away(1e9, ConnectionResetError()), RetryPolicy(outage_seconds=40))
    lines = said_while(lister, ["p"] * 8, caplog)
    assert lines
    assert not any("responding again" in line for line in lines)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.floats(0, 20), st.booleans()), min_size=1, max_size=200
    )
)
def test_no_two_lines_about_waiting_come_within_thirty_seconds(
    steps: list[tuple[int, float, bool]],
) -> None:
    outages, now, said = OutageLog("here"), 0.0, Counter[int]()
    began: dict[int, float] = {}
    lines: list[float] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "retrying until" in record.getMessage():
                lines.append(now)

    handler, log = Handler(), logging.getLogger("inventory_assets.s3")
    log.addHandler(handler)
    try:
        for request, gap, fails in steps:
            now += gap
            if fails:
                since = began.setdefault(request, now)
                outages.failed(request, since, now, TransientError.RESET, 300)
                said[request] += 1
            elif began.pop(request, None) is not None:
                outages.over(request, now, is_answered=True)
    finally:
        log.removeHandler(handler)
    assert all(late - early >= 30 for early, late in pairwise(lines))
