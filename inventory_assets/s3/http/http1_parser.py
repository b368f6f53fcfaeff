"""Parse an HTTP/1.1 response incrementally, receiving the body directly into a reused buffer.

It supports what GET and HEAD over a keep-alive connection need: one response at a time, framed by a
length, by chunks or by the end of the connection. It does not block and knows no socket;
`connection.py` does.

Source: RFC 9112, sections 4 (status line), 5 (fields), 6 (framing) and 7.1 (chunks).
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.page import MAX_RESPONSE_BYTES
from inventory_assets.s3.errors import MalformedResponse

Receive = Callable[[memoryview], int]
"""Receives bytes into the memory and returns their number; 0 at the end of the connection.

Raises the socket's own exception if no bytes are available."""

_FIRST_BYTES = 4096
"""Bytes to receive at first: the head, and little of the body, as that part must be copied."""

_MORE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
_DECIMAL = re.compile(r"[0-9]{1,18}")
MAX_INTERIM_RESPONSES = 16
"""Maximum responses of status 1xx before the final one; servers send one or two."""

_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


_BEGINNING = b"HTTP/"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""Alert and handshake, which a TLS server sends in response to plain HTTP."""


class ProtocolError(BadStatusLine):
    """The response is not HTTP/1.1; a truncated response is an `IncompleteRead` instead.

    Attributes:
        is_tls: Whether the peer speaks TLS.
    """

    def __init__(self, words: str, *, is_tls: bool = False) -> None:
        super().__init__(words)
        self.is_tls = is_tls


@value
class ResponseHead:
    """Status line and headers.

    Attributes:
        status: The HTTP status.
        headers: The headers, with lower-case names; repeated ones are joined by commas.
        keeps_alive: Whether the server keeps the connection open, if the body's end is known.
    """

    status: int
    headers: Mapping[str, str]
    keeps_alive: bool


class ResponseParser:
    """The parser of one response.

    Args:
        receive: The source of bytes.
        body: Receives the body, replacing its content.
        has_body: Whether there is one; a response to HEAD has none, whatever length it states.

    Attributes:
        head: The head, once complete.
        is_begun: Whether a byte was received.
        is_reusable: Whether the connection can be reused, once the response is complete.
    """

    def __init__(self, receive: Receive, body: bytearray, *, has_body: bool = True) -> None:
        self.head: ResponseHead | None = None
        self.is_begun = False
        self.is_reusable = False
        self._receive = receive
        self._body = body
        self._has_body = has_body
        self._raw = bytearray()
        self._interim = 0
        self._step: Callable[[], bool] = self._read_head
        self._view: memoryview | None = None
        self._filled = 0

    def feed(self) -> bool:
        """Receive until the response is complete; return True then.

        Raises:
            HTTPException: The response is not HTTP, or the connection ended too early.
            MalformedResponse: The body is longer than `MAX_RESPONSE_BYTES`.
            OSError: From `receive`; if no bytes are available yet, call `feed` again later.
        """
        while not self._step():
            pass
        return True

    def close(self) -> None:
        """Release the view of the body, and the reference of this object to itself."""
        self._step = _closed
        if self._view is not None:
            self._view.release()
            self._view = None

    def _read_head(self) -> bool:
        if not self._raw.startswith(_BEGINNING[: len(self._raw)]):
            # Raised at once: a peer with another protocol may wait for more from us.
            is_tls = self._raw.startswith(_TLS_RECORDS)
            said = "TLS" if is_tls else repr(bytes(self._raw[:40]))
            raise ProtocolError(f"the response begins with {said}", is_tls=is_tls)
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            if len(self._raw) > MAX_HEAD_BYTES:
                raise ProtocolError(f"the head of the response is over {MAX_HEAD_BYTES:,} bytes")
            if not self._recv(_FIRST_BYTES):
                if self.is_begun:
                    raise IncompleteRead(bytes(self._raw[:100]))
                raise RemoteDisconnected("the connection was closed without a response")
            self.is_begun = True
            return False
        head = parse_head(self._raw[:end])
        del self._raw[: end + 4]
        if 100 <= head.status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM_RESPONSES:
                raise ProtocolError(
                    f"{self._interim} interim responses of status {head.status}, and no final one"
                )
            return False  # an interim response; the final one follows
        self.head = head
        return self._choose_framing(head)

    def _choose_framing(self, head: ResponseHead) -> bool:
        self.is_reusable = head.keeps_alive
        coding = head.headers.get("transfer-encoding", "").lower()
        if head.status in (204, 304) or not self._has_body:
            self._body.clear()
            if self._raw:
                self.is_reusable = False  # unsolicited bytes follow
            self.close()
            return True
        if coding == "chunked":
            self._step = self._read_chunks
            if "content-length" in head.headers:
                self.is_reusable = False  # RFC 9112, section 6.3: possible request smuggling
        elif coding:
            raise ProtocolError(f"the response has the transfer coding {coding!r}")
        elif "content-length" in head.headers:
            # A proxy may repeat the header; that is valid if all values are equal.
            length = head.headers["content-length"]
            if "," in length:
                lengths = {each.strip() for each in length.split(",")}
                length = lengths.pop() if len(lengths) == 1 else str(sorted(lengths))
            return self._expect(length)
        else:
            self.is_reusable = False
            self._step = self._read_to_close
        self._body.clear()
        return False

    def _expect(self, length: str) -> bool:
        if not _DECIMAL.fullmatch(length):
            raise ProtocolError(f"the response has the length {length[:40]!r}")
        size = int(length)
        _check_size(size)
        del self._body[size:]
        self._body += bytes(size - len(self._body))
        self._filled = min(size, len(self._raw))
        self._body[: self._filled] = self._raw[: self._filled]
        if len(self._raw) > size:
            self.is_reusable = False  # unsolicited bytes follow
        self._view = memoryview(self._body)
        self._step = self._fill
        return False

    def _fill(self) -> bool:
        if self._view is None or self._filled == len(self._view):
            self.close()
            return True
        count = self._receive(self._view[self._filled :])
        if not count:
            missing = len(self._view) - self._filled
            raise IncompleteRead(b"", missing)
        self._filled += count
        return False

    def _read_to_close(self) -> bool:
        self._body += self._raw
        self._raw.clear()
        _check_size(len(self._body))
        return not self._recv(_MORE_BYTES)

    def _read_chunks(self) -> bool:
        """Move the next complete chunk to the body, or receive more."""
        line_end = self._raw.find(b"\r\n")
        if line_end >= 0:
            size = _chunk_size(bytes(self._raw[:line_end]))
            _check_size(len(self._body) + size)
            stop = line_end + 2 + size
            if not size:
                del self._raw[: line_end + 2]
                self._step = self._read_trailers
                return False
            if len(self._raw) >= stop + 2:
                if self._raw[stop : stop + 2] != b"\r\n":
                    raise ProtocolError("a chunk of the response does not have its declared length")
                self._body += self._raw[line_end + 2 : stop]
                del self._raw[: stop + 2]
                return False
        elif len(self._raw) > MAX_HEAD_BYTES:
            raise ProtocolError("a chunk of the response declares no length")
        self._recv_or_fail()
        return False

    def _read_trailers(self) -> bool:
        line_end = self._raw.find(b"\r\n")
        if line_end < 0:
            if len(self._raw) > MAX_HEAD_BYTES:
                raise ProtocolError("the response's trailer does not end")
            self._recv_or_fail()
            return False
        del self._raw[: line_end + 2]
        if line_end:
            return False
        if self._raw:
            self.is_reusable = False  # unsolicited bytes follow
        return True

    def _recv(self, size: int) -> int:
        """Append up to `size` received bytes to the raw buffer; return their number."""
        memory = bytearray(size)
        count = self._receive(memoryview(memory))
        if self._raw:
            self._raw += memory[:count]
        else:
            del memory[count:]
            self._raw = memory
        return count

    def _recv_or_fail(self) -> None:
        if not self._recv(_MORE_BYTES):
            raise IncompleteRead(b"")


def _closed() -> bool:
    raise RuntimeError("the parser is closed")


def parse_head(text: bytes | bytearray) -> ResponseHead:
    """Parse the head of a response, without its final empty line.

    Raises:
        HTTPException: It is not valid.
    """
    status_line, separator, rest = text.decode("latin-1").partition("\r\n")
    version, _, reason = status_line.partition(" ")
    code = reason[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()):
        raise ProtocolError(f"the response begins with {status_line[:40]!r}")
    lines = rest.split("\r\n") if separator else []
    headers = _usual_headers(rest, lines) or any_headers(lines)
    options = headers.get("connection", "").lower()
    keeps_alive = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    return ResponseHead(int(code), headers, keeps_alive)


def _usual_headers(text: str, lines: list[str]) -> dict[str, str] | None:
    """The headers if they are written as most servers do, which takes half the time.

    Every name is followed by a colon and one space, and none is repeated.
    """
    if "\t" in text or "  " in text or " \r\n" in text or text.endswith(" "):
        return None
    try:
        found = dict([line.split(": ", 1) for line in lines])
    except ValueError:
        return None
    names = _header_names((*found,)) if len(found) == len(lines) else None
    return dict(zip(names, found.values(), strict=True)) if names else None


def any_headers(lines: list[str]) -> dict[str, str]:
    """The headers of lines, with lower-case names; repeated ones are joined by commas.

    Raises:
        HTTPException: A line is not valid.
    """
    headers: dict[str, str] = {}
    for line in lines:
        written, colon, value = line.partition(":")
        name = _header_name(written) if colon else None
        if name is None:
            raise ProtocolError(f"the response has the header line {line[:100]!r}")
        value = value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


@lru_cache(maxsize=64)
def _header_names(written: tuple[str, ...]) -> tuple[str, ...] | None:
    """The names of a response in lower case; None if one is not valid, or is repeated."""
    names = [_header_name(each) for each in written if ":" not in each]
    found = tuple([name for name in names if name is not None])
    return found if len(set(found)) == len(written) else None


@lru_cache(maxsize=1024)
def _header_name(written: str) -> str | None:
    """The name of a header in lower case; None where it is not valid.

    Folded lines and a space before the colon are rejected: they can smuggle headers.
    """
    return written.lower() if written and written == written.strip() else None


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not _HEXADECIMAL.fullmatch(digits):
        raise ProtocolError(f"a chunk of the response has the length {line[:40]!r}")
    return int(digits, 16)


def _check_size(size: int) -> None:
    if size > MAX_RESPONSE_BYTES:
        raise MalformedResponse(
            f"the response has more than {MAX_RESPONSE_BYTES:,} bytes, which no listing page has"
        )
