"""Bodies of responses: framing, compression, size, and truncation."""

import gzip
import zlib

import pytest
from urllib3.connection import HTTPConnection

from inventory_assets.s3.errors import MalformedResponse, RequestRejected, TransientError
from inventory_assets.s3.http import http1_parser
from inventory_assets.s3.http.transport import Transport
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.scripted_server import Answer, ScriptedServer
from inventory_assets_tests.s3.transport.requests import BODY, GOOD, error_of, get, list_once, to
from inventory_assets_tests.s3.transport.servers import chunked, http_response

pytestmark = pytest.mark.usefixtures("no_aws_environment")


@pytest.mark.parametrize(
    "raw",
    [
        chunked(BODY),
        chunked(*(BODY[place : place + 7] for place in range(0, len(BODY), 7))),
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
        b"HTTP/1.1 100 Continue\r\n\r\n" + http_response(BODY),
    ],
)
def test_a_body_is_read_however_it_is_framed(raw: bytes, server: ScriptedServer) -> None:
    server.script(Answer(raw=raw))
    body = bytearray(b"what was there before" * 99)
    response = get(Transport(to(server.url)), {}, body)
    assert response.body is body
    assert body == BODY


def encoded(coding: str, body: bytes) -> Answer:
    return Answer(200, body, {"Content-Encoding": coding})


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("identity", BODY),
        ("aws-chunked", BODY),
        ("deflate, GZIP", gzip.compress(zlib.compress(BODY))),
    ],
)
def test_a_body_that_a_proxy_has_compressed_is_read(
    coding: str, body: bytes, server: ScriptedServer
) -> None:
    server.script(encoded(coding, body))
    assert list_once(to(server.url)).last_key == "k"


def test_an_encoding_that_is_not_known_is_rejected_by_name_at_once(server: ScriptedServer) -> None:
    server.script(encoded("br", b"\x1b\x00"))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "'br'" in str(error)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [gzip.compress(BODY)[:-9], b"no gzip", gzip.compress(bytes(2**26)), gzip.compress(b"")],
    ids=["cut off", "no gzip", "a bomb", "empty"],
)
def test_a_compressed_body_that_is_damaged_or_a_bomb_is_malformed(
    body: bytes, server: ScriptedServer
) -> None:
    server.script(encoded("gzip", body))
    stats = RequestStats()
    error_of(to(server.url), stats)
    assert stats.faults == {TransientError.MALFORMED: 1}


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3", "0x10", "5, 6", "٣"])
def test_an_absurd_length_is_rejected(length: str, server: ScriptedServer) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()
    server.script(Answer(raw=head + BODY))
    error = error_of(to(server.url))
    assert type(error) is RequestRejected
    assert "length" in str(error)
    assert len(server.seen) == 2


def test_the_memory_of_a_body_is_reused_without_remains(server: ScriptedServer) -> None:
    bodies = [b"a" * 3000, b"b" * 10, b"", b"c" * 500]
    server.script(*(Answer(200, each) for each in bodies))
    way, body = Transport(to(server.url)), bytearray()
    for each in bodies:
        response = get(way, {}, body)
        assert response.body is body
        assert body == each


def test_a_body_announced_too_large_is_rejected_before_it_is_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    server.script(Answer(200, b"x" * 1001))
    body = bytearray()
    with pytest.raises(MalformedResponse, match="1,000 bytes"):
        get(Transport(to(server.url)), {}, body)
    assert len(body) == 0


def test_a_body_of_exactly_the_allowed_size_is_read(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    way, body = Transport(to(server.url)), bytearray()
    for answer in (Answer(200, b"x" * 1000), Answer(raw=chunked(b"x" * 1000))):
        server.script(answer)
        assert len(get(way, {}, body).body) == 1000


@pytest.mark.parametrize("head", [chunked(is_ended=False), b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_body_without_an_end_is_rejected_soon(
    head: bytes, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 1000)
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    server.script(Answer(raw=head + piece * 40))
    body = bytearray()
    with pytest.raises(MalformedResponse, match="1,000 bytes"):
        get(Transport(to(server.url)), {}, body)
    assert len(body) <= 1000 + http1_parser._MORE_BYTES


@pytest.mark.parametrize(
    "cut",
    [
        Answer(200, BODY, sent=100),
        Answer(200, BODY, sent=0),
        Answer(raw=chunked(BODY[:100], is_ended=False)),
        Answer(raw=chunked(BODY, is_ended=False)),
        Answer(raw=chunked()[:-5] + b"zz\r\n"),
    ],
)
def test_a_body_truncated_is_a_reset_and_its_connection_is_not_used_again(
    cut: Answer, server: ScriptedServer, connected: list[HTTPConnection]
) -> None:
    server.script(cut, GOOD)
    stats = RequestStats()
    assert list_once(to(server.url), stats).objects.num_rows == 1
    assert stats.faults == {TransientError.RESET: 1}
    assert len(connected) == 2
    assert connected[0].is_closed


@pytest.mark.parametrize(
    ("rest", "fault"),
    [(b"\r\n" + BODY[:100], TransientError.MALFORMED), (b"Content-Le", TransientError.RESET)],
)
def test_a_truncated_response_without_a_length_is_requested_again(
    rest: bytes, fault: TransientError, server: ScriptedServer
) -> None:
    server.script(Answer(raw=b"HTTP/1.1 200 OK\r\n" + rest), GOOD)
    stats = RequestStats()
    assert list_once(to(server.url), stats).objects.num_rows == 1
    assert stats.faults == {fault: 1}
