"""The response parser, compared with `http.client` for bytes in any chunks."""

import http.client
import io
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.errors import MalformedResponse
from inventory_assets.s3.http import http1_parser
from inventory_assets.s3.http.http1_parser import (
    ProtocolError,
    ResponseParser,
    any_headers,
    parse_head,
)


class Arriving:
    """Bytes that arrive in chunks, with moments without any."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]
        self._is_quiet = False

    def receive(self, memory: memoryview) -> int:
        self._is_quiet = not self._is_quiet
        if self._is_quiet:
            raise BlockingIOError
        if not self._pieces:
            return 0
        piece = self._pieces[0][: len(memory)]
        memory[: len(piece)] = piece
        self._pieces[0] = self._pieces[0][len(piece) :]
        if not self._pieces[0]:
            self._pieces.pop(0)
        return len(piece)


def read(raw: bytes, cuts: Sequence[int] = (), body: bytearray | None = None) -> ResponseParser:
    bounds = [0, *sorted(cut for cut in cuts if cut <= len(raw)), len(raw)]
    arriving = Arriving([raw[a:b] for a, b in pairwise(bounds)])
    reader = ResponseParser(arriving.receive, bytearray() if body is None else body)
    try:
        while True:
            try:
                reader.feed()
            except BlockingIOError:
                continue
            return reader
    finally:
        reader.close()


class _Canned:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


def by_http_client(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    answer = http.client.HTTPResponse(_Canned(raw), method="GET")  # type: ignore[arg-type]
    answer.begin()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, headers, answer.read()


names = st.text("abcdefghijklmnopqrstuvwxyzABCDEF-0123456789", min_size=1, max_size=12)
values = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x85\xa0"),
    max_size=20,
)
FRAMING = {"content-length", "transfer-encoding", "connection"}


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A response, and its body."""
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.0"]))
    headers = draw(st.dictionaries(names, values, max_size=6))
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in FRAMING]
    body = draw(st.binary(max_size=300))
    framing = draw(st.sampled_from(["length", "chunks", "end"]))
    sent = body
    if framing == "length":
        lines.append(f"Content-Length: {len(body)}")
    elif framing == "chunks" and version == "HTTP/1.1":
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.integers(1, 100))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        trailer = draw(st.sampled_from([b"", b"x-sum: 1\r\n"]))
        sent = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        sent += b"0\r\n" + trailer + b"\r\n"
    status = draw(st.sampled_from([200, 301, 403, 503]))
    head = "\r\n".join([f"{version} {status} Some Words", *dict.fromkeys(lines)])
    return head.encode("latin-1") + b"\r\n\r\n" + sent, body


@given(answers(), st.lists(st.integers(0, 700), max_size=8), st.binary(max_size=400))
@settings(max_examples=300)
def test_responses_are_parsed_like_http_client_does_in_any_chunks(
    answer: tuple[bytes, bytes], cuts: list[int], before: bytes
) -> None:
    raw, expected = answer
    body = bytearray(before)
    reader = read(raw, cuts, body)
    status, headers, their_body = by_http_client(raw)
    assert reader.head is not None
    assert reader.head.status == status
    assert body == their_body == expected
    assert set(reader.head.headers) == set(headers)


@given(answers(), st.data())
@settings(max_examples=150)
def test_a_truncated_response_is_never_accepted(
    answer: tuple[bytes, bytes], data: st.DataObject
) -> None:
    raw, _ = answer
    head = raw[: raw.index(b"\r\n\r\n")].lower()
    cut = data.draw(st.integers(0, len(raw) - 1))
    announced = b"content-length:" in head or b"transfer-encoding:" in head
    if not announced and cut >= len(head) + 4:
        return  # its end is the end of the connection, wherever that comes
    with pytest.raises(http.client.HTTPException):
        read(raw[:cut])


_LINES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["Server", "server", "ETag", "X-a:b", " folded", "late ", ""]),
    st.sampled_from([": ", ": ", ":", ":  ", ":\t", " : ", ""]),
    st.sampled_from(["value", "a: b", "a  b", "", "caf\xe9", "Sun, 1 Nov"]),
    st.sampled_from(["", "", " ", "\t"]),
)


@given(st.lists(_LINES, max_size=5))
@settings(max_examples=500)
def test_headers_that_are_written_as_usual_are_read_like_any(lines: list[str]) -> None:
    head = "\r\n".join(["HTTP/1.1 200 OK", *lines]).encode("latin-1")
    try:
        expected = any_headers(lines)
    except ProtocolError as error:
        with pytest.raises(ProtocolError, match=re.escape(str(error))):
            parse_head(head)
    else:
        assert parse_head(head).headers == expected


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
def test_any_bytes_end_in_a_response_or_an_error(raw: bytes, cuts: list[int]) -> None:
    try:
        read(raw, cuts)
    except http.client.HTTPException:
        return


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1_parser, "MAX_RESPONSE_BYTES", 100)


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
    ],
)
def test_a_body_too_large_is_rejected_before_it_is_kept(raw: bytes) -> None:
    with pytest.raises(MalformedResponse, match="100 bytes"):
        read(raw)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"ICY 200 OK",
        b"HTTP/1.1 200 OK\r\n folded: line",
        b"HTTP/1.1 200 OK\r\nname : value",
        b"HTTP/1.1 200 OK\r\nno colon",
    ],
)
def test_an_invalid_head_is_rejected(head: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        parse_head(head)


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: -1", b"Content-Length: 1e3", b"Transfer-Encoding: gzip, chunked"],
)
def test_a_framing_that_is_not_understood_is_rejected(framing: bytes) -> None:
    with pytest.raises(http.client.HTTPException):
        read(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\nbody")


def test_a_head_without_an_end_is_rejected_soon() -> None:
    with pytest.raises(http.client.HTTPException, match="over 65,536 bytes"):
        read(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000)


def test_an_interim_response_is_skipped() -> None:
    body = bytearray()
    reader = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", body=body
    )
    assert reader.head is not None
    assert (reader.head.status, bytes(body)) == (200, b"ok")


@pytest.mark.parametrize(
    ("raw", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True),
        (b"HTTP/1.1 200 OK\r\n\r\nok", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_a_connection_is_reused_only_if_the_response_allows(raw: bytes, is_reusable: bool) -> None:
    assert read(raw).is_reusable is is_reusable


def test_the_memory_of_the_body_is_reused() -> None:
    body = bytearray(5000)
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 3000
    allocated = body.__alloc__()
    read(raw, body=body)
    assert body == b"x" * 3000
    assert body.__alloc__() == allocated
