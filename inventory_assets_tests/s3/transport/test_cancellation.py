"""A cancellation ends a request at once, in any state."""

import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from urllib3.connection import HTTPConnection

from inventory_assets.s3.concurrency.limiter import Cancelled
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import ScriptedServer
from inventory_assets_tests.s3.transport.requests import GOOD, to, until
from inventory_assets_tests.s3.transport.servers import ConnectProxy, QuietServer, request_head

pytestmark = pytest.mark.usefixtures("no_aws_environment")


def cancelled(lister: ListClient, is_ready: Callable[[], bool]) -> float:
    """Cancel a request once `is_ready` holds; return the seconds until it ended."""
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(lister.list_page_sync, PageRequest(), RequestStats())
        until(is_ready)
        since = time.monotonic()
        lister.cancel()
        assert isinstance(page.exception(timeout=20), Cancelled)
    return time.monotonic() - since


SLOW = replace(GOOD, delay=20)


def test_a_cancellation_ends_a_request_that_waits_for_its_response(server: ScriptedServer) -> None:
    server.script(SLOW)
    assert cancelled(ListClient(to(server.url)), lambda: bool(server.seen)) < 1


@pytest.mark.usefixtures("trusted")
def test_a_cancellation_ends_a_request_over_tls(tls_server: ScriptedServer) -> None:
    tls_server.script(SLOW)
    assert cancelled(ListClient(to(tls_server.url)), lambda: bool(tls_server.seen)) < 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("is_tls", [False, True])
def test_a_cancellation_ends_a_request_through_a_tunnel(
    is_tls: bool, proxies: pytest.MonkeyPatch, tls: ssl.SSLContext, tls_server: ScriptedServer
) -> None:
    tls_server.script(SLOW)
    with ConnectProxy(tls if is_tls else None) as proxy:
        proxies.setenv("HTTPS_PROXY", proxy.url)
        assert cancelled(ListClient(to(tls_server.url)), lambda: bool(tls_server.seen)) < 1


def test_a_cancellation_ends_a_body_that_does_not_come(server: ScriptedServer) -> None:
    """The response has `Connection: close`, after which urllib3 no longer tracks the connection."""
    held = threading.Event()
    started = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            request_head(self.request)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<?xml")
            started.set()
            held.wait(20)

    with QuietServer(("127.0.0.1", 0), Handler) as slow:
        thread = threading.Thread(target=slow.serve_forever, args=(0.02,))
        thread.start()
        try:
            lister = ListClient(to(f"http://127.0.0.1:{slow.server_address[1]}"))
            assert cancelled(lister, started.is_set) < 1
        finally:
            held.set()
            slow.shutdown()
            thread.join()
    assert not server.seen


def test_a_cancellation_while_connecting_sends_nothing(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connecting, go_on = threading.Event(), threading.Event()
    connect = HTTPConnection.connect

    def hesitant(self: HTTPConnection) -> None:
        connecting.set()
        assert go_on.wait(10)
        connect(self)

    monkeypatch.setattr(HTTPConnection, "connect", hesitant)
    lister = ListClient(to(server.url))
    with ThreadPoolExecutor(1) as pool:
        page = pool.submit(lister.list_page_sync, PageRequest(), RequestStats())
        assert connecting.wait(10)
        lister.cancel()
        go_on.set()
        since = time.monotonic()
        assert isinstance(page.exception(timeout=10), Cancelled)
    assert time.monotonic() - since < 1
    assert not server.seen
