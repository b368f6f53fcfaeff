"""When a connection is used again, and when it is closed."""

import select
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from urllib3.connection import HTTPConnection

from inventory_assets.s3.error_classification import classify
from inventory_assets.s3.errors import TransientError
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.listings import Listed, render
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer, error_document
from inventory_assets_tests.s3.transport.requests import (
    BODY,
    GOOD,
    QUICK,
    get,
    list_once,
    to,
    until,
)
from inventory_assets_tests.s3.transport.servers import Talkative, chunked, http_response

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def test_pages_one_after_the_other_use_one_connection(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(server.url), QUICK)
    for _ in range(10):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len(server.seen) == 10
    assert len(connected) == 1


@pytest.mark.usefixtures("trusted")
def test_pages_one_after_the_other_use_one_connection_over_tls(
    tls_server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(tls_server.url), QUICK)
    for _ in range(5):
        lister.list_page_sync(PageRequest(), RequestStats())
    assert len(connected) == 1


def test_error_responses_keep_their_connection(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(*[Answer(503, error_document("SlowDown"))] * 2, GOOD)
    list_once(to(server.url))
    assert len(connected) == 1


def test_a_connection_that_was_closed_while_idle_is_not_used_again(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(Answer(raw=http_response(BODY)))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(3):
        lister.list_page_sync(PageRequest(), stats)
        until(lambda: not connected[-1].is_connected)
    assert len(connected) == 3
    assert not stats.faults


def test_a_connection_closed_after_a_response_counts_no_fault(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(Answer(raw=http_response(BODY)), GOOD)
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    lister.list_page_sync(PageRequest(), stats)
    until(lambda: not connected[-1].is_connected)
    lister.list_page_sync(PageRequest(), stats)
    assert not stats.faults


def test_a_server_that_closes_every_connection_is_listed_all_the_same(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(replace(GOOD, headers={"Connection": "close"}))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(3):
        lister.list_page_sync(PageRequest(), stats)
    assert len(connected) == 3
    assert not stats.faults


def test_a_server_of_http_1_0_is_listed_all_the_same(server: ScriptedServer) -> None:
    server.script(Answer(raw=b"HTTP/1.0 200 OK\r\n\r\n" + BODY))
    lister, stats = ListClient(to(server.url), QUICK), RequestStats()
    for _ in range(2):
        assert lister.list_page_sync(PageRequest(), stats).objects.num_rows == 1
    assert not stats.faults


def test_a_connection_kept_alive_is_closed_with_the_listing(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    lister = ListClient(to(server.url), QUICK)
    lister.list_page_sync(PageRequest(), RequestStats())
    assert not connected[0].is_closed
    lister.close()
    assert connected[0].is_closed


STALE = http_response(render([Listed("of another request")]))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("behind", [STALE, b"\0"])
def test_a_connection_with_unread_bytes_is_never_reused(
    behind: bytes, is_tls: bool, tls: ssl.SSLContext, connected: list[HTTPConnection]
) -> None:
    with Talkative(behind, tls if is_tls else None) as talkative:
        lister, stats = ListClient(to(talkative.url), QUICK), RequestStats()
        for count in range(1, 4):
            page = lister.list_page_sync(PageRequest(), stats)
            assert page.objects.column("key").to_pylist() == ["k"]
            assert len(connected) == count
            assert select.select([connected[-1].sock], [], [], 10)[0]
        lister.close()
    assert not stats.faults


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_response_followed_by_unsolicited_bytes_ends_its_connection(
    is_chunked: bool, connected: list[HTTPConnection], server: ScriptedServer
) -> None:
    answer = chunked(BODY) if is_chunked else http_response(BODY)
    server.script(Answer(raw=answer + STALE), GOOD)
    lister = ListClient(to(server.url), QUICK)
    for _ in range(2):
        assert lister.list_page_sync(PageRequest(), RequestStats()).last_key == "k"
    assert len(connected) == 2


def test_the_connection_of_a_discarded_response_is_not_reused(
    server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    way = Transport(to(server.url))
    response = get(way, {}, bytearray())
    way.discard(response)
    assert connected[0].is_closed
    get(way, {}, bytearray())
    assert len(connected) == 2
    way.discard(response)  # once more does no harm
    get(way, {}, bytearray())
    assert len(connected) == 2


def test_a_request_in_flight_on_a_discarded_connection_ends_as_a_reset(
    server: ScriptedServer,
) -> None:
    server.script(GOOD, replace(GOOD, delay=10))
    way = Transport(to(server.url))
    response = get(way, {}, bytearray())
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(get, way, {}, bytearray())
        until(lambda: len(server.seen) == 2)
        way.discard(response)
        assert classify(second.exception(timeout=5) or Exception()) is TransientError.RESET
