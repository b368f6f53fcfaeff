"""A clock that differs from that of the server."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from email.utils import format_datetime

import pytest

from inventory_assets.s3.errors import CredentialsRefused
from inventory_assets.s3.http.response import ErrorResponse
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document
from inventory_assets_tests.s3.transport.requests import GOOD, QUICK, error_of, get, list_once, to

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def skewed(by: dt.timedelta) -> Answer:
    date = format_datetime(dt.datetime.now(dt.UTC) + by, usegmt=True)
    return Answer(403, error_document("RequestTimeTooSkewed"), {"Date": date})


@pytest.mark.parametrize("hours", [-1, 1, 24 * 400])
def test_a_request_with_clock_skew_is_signed_again_with_the_server_time(
    hours: int, server: ScriptedServer
) -> None:
    server.script(skewed(dt.timedelta(hours=hours)), GOOD)
    stats = RequestStats()
    list_once(to(server.url), stats)
    first, second = (
        dt.datetime.strptime(seen.headers["x-amz-date"], "%Y%m%dT%H%M%S%z") for seen in server.seen
    )
    assert abs(second - first - dt.timedelta(hours=hours)) < dt.timedelta(minutes=5)
    assert not stats.faults


def test_the_server_time_is_used_for_later_requests(server: ScriptedServer) -> None:
    server.script(skewed(dt.timedelta(hours=1)), GOOD)
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    lister.list_page_sync(PageRequest(), RequestStats())
    assert len(server.seen) == 3


@pytest.mark.parametrize("hours", [0, 1])
def test_a_server_that_always_reports_clock_skew_ends_the_listing_soon(
    hours: int, server: ScriptedServer
) -> None:
    server.script(skewed(dt.timedelta(hours=hours)))
    error = error_of(to(server.url))
    assert isinstance(error, CredentialsRefused)
    assert "clock" in str(error)
    assert len(server.seen) <= 2


@pytest.mark.parametrize(
    "date",
    [
        {},
        {"Date": "yesterday"},
        {"Date": "Thu, 99 Foo 2026"},
        {"Date": "Thu, 01 Jan 9999 00:00:00 GMT"},
        {"Date": "Thu, 01 Jan 2026 00:00:00 +99999999999999"},
        {"Date": "1" * 5000},
    ],
)
def test_a_clock_skew_error_without_the_server_time_ends_the_listing(
    date: Mapping[str, str], server: ScriptedServer
) -> None:
    server.script(replace(skewed(dt.timedelta()), headers=date))
    assert isinstance(error_of(to(server.url)), CredentialsRefused)
    assert len(server.seen) == 1


def test_a_server_time_found_by_one_request_applies_to_earlier_ones(
    server: ScriptedServer,
) -> None:
    server.script(skewed(dt.timedelta(hours=1)))
    way = Transport(to(server.url))
    before = [ErrorResponse(get(way, {}, bytearray())) for _ in range(2)]
    assert [way.adapt_to_error(each) for each in before] == [True, True]
    assert not way.adapt_to_error(ErrorResponse(get(way, {}, bytearray())))
