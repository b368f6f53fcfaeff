"""Slow responses, over a real socket."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator

import pytest
from urllib3.connection import HTTPConnection

from inventory_assets.s3.http.connection import AsyncHttpConnection
from inventory_assets.s3.http.http1_parser import MAX_INTERIM_RESPONSES, ResponseHead

LONGEST = 0.5
IDLE_TIMEOUT = 10.0


@contextlib.contextmanager
def serving(pieces: Iterable[bytes], every: float) -> Iterator[AsyncHttpConnection]:
    """A connection to a server that sends `pieces`, one every `every` seconds."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as opened:
                opened.recv(65_536)
                for piece in pieces:
                    opened.sendall(piece)
                    time.sleep(every)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connection = HTTPConnection("127.0.0.1", listening.getsockname()[1])
        connection.connect()
        channel = AsyncHttpConnection(connection)
        try:
            yield channel
        finally:
            channel.close()
            thread.join(10)


def sent_and_received(
    channel: AsyncHttpConnection, longest: float = LONGEST, idle_timeout: float = IDLE_TIMEOUT
) -> ResponseHead:
    request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
    return asyncio.run(channel.send_request(request, bytearray(), idle_timeout, longest))


def bytewise(text: bytes) -> list[bytes]:
    return [bytes([each]) for each in text]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
TRICKLES = {
    "head": bytewise(HEAD),
    "body": [HEAD, *bytewise(b"x" * 1000)],
    "chunks": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 1000],
    "without a length": [b"HTTP/1.1 200 OK\r\n\r\n", *bytewise(b"x" * 1000)],
    "interim answers": [b"HTTP/1.1 102 Processing\r\n\r\n"] * 1000,
}


@pytest.mark.parametrize("trickle", TRICKLES)
def test_a_trickling_response_times_out(trickle: str) -> None:
    began = time.monotonic()
    with serving(TRICKLES[trickle], every=0.05) as channel:
        with pytest.raises(TimeoutError, match=r"not complete after 0\.5 seconds"):
            sent_and_received(channel)
        lasted = time.monotonic() - began
        assert not channel.is_reusable
    assert LONGEST <= lasted < LONGEST + 2


def test_a_server_that_falls_silent_is_given_up_before_the_deadline() -> None:
    with (
        serving([HEAD], every=1) as channel,
        pytest.raises(TimeoutError, match=r"no bytes arrived for 0\.2 seconds"),
    ):
        sent_and_received(channel, longest=10, idle_timeout=0.2)


def test_endless_interim_responses_are_rejected() -> None:
    flood = b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000
    with (
        serving([flood], every=0) as channel,
        pytest.raises(Exception, match="interim responses of status 100"),
    ):
        sent_and_received(channel, longest=30)


def test_a_few_interim_responses_are_skipped() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * MAX_INTERIM_RESPONSES
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with serving([early + answer], every=0) as channel:
        assert sent_and_received(channel, longest=10).status == 200


def test_time_in_which_this_process_is_busy_does_not_count_as_a_timeout() -> None:
    """The response is larger than the kernel's receive buffer."""
    size = 15 * 2**20
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    request = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"

    async def busy(channel: AsyncHttpConnection) -> ResponseHead:
        reading = asyncio.create_task(channel.send_request(request, bytearray(), IDLE_TIMEOUT, 1.0))
        await asyncio.sleep(0.01)
        time.sleep(1.5)  # noqa: ASYNC251 - like decoding, or writing to a slow disk
        return await reading

    with serving([answer], every=0) as channel:
        assert asyncio.run(busy(channel)).status == 200
