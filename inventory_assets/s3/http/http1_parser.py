"""Read an HTTP/1.1 answer as its bytes come in, the body straight into memory that is used again.

Only what a GET over a kept connection needs: one answer at a time, framed by a length, by chunks or
by the end of the connection. Nothing here waits or knows a socket; `connection.py` does.

Source: RFC 9112, sections 4 (status line), 5 (fields), 6 (framing) and 7.1 (chunks).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import BadStatusLine, IncompleteRead, RemoteDisconnected

from inventory_assets.s3.decoding.xml_decoder import MAX_RESPONSE_BYTES
from inventory_assets.s3.errors import MalformedResponse

Receive = Callable[[memoryview], int]
"""Fills some of the memory with what has come, and says how much; 0 at the end of the connection.

Raises what the socket raises where nothing has come yet."""

_FIRST_BYTES = 4096
"""What is received at first: a head and little of the body, as that must be copied."""

_MORE_BYTES = 65_536
MAX_HEAD_BYTES = 65_536
_DECIMAL = re.compile(r"[0-9]{1,18}")
MAX_INTERIM_ANSWERS = 16
"""How many answers of status 1xx may come before the answer; a server sends one or two."""

_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{1,15}")


_BEGINNING = b"HTTP/"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")
"""Alert and handshake, as a server sends them that was not spoken to in TLS."""


class ProtocolError(BadStatusLine):
    """What came is no HTTP/1.1; bytes that were lost on the way are another matter.

    Attributes:
        is_tls: Whether the other side speaks TLS instead.
    """

    def __init__(self, words: str, *, is_tls: bool = False) -> None:
        super().__init__(words)
        self.is_tls = is_tls


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What stands before the body.

    Attributes:
        status: The HTTP status.
        headers: By their names in lower case; values of repeated ones are joined by commas.
        keeps_alive: Whether the connection may be used again, if the body's end is known.
    """

    status: int
    headers: Mapping[str, str]
    keeps_alive: bool


class ResponseParser:
    """One answer.

    Args:
        receive: Where its bytes come from.
        body: What the body replaces.

    Attributes:
        head: Once it is whole.
        is_begun: Whether any byte has come.
        is_reusable: Whether another request may follow on the connection, once this is whole.
    """

    def __init__(self, receive: Receive, body: bytearray) -> None:
        self.head: ResponseHead | None = None
        self.is_begun = False
        self.is_reusable = False
        self._receive = receive
        self._body = body
        self._raw = bytearray()
        self._interim = 0
        self._rest: Callable[[], bool] = self._read_head
        self._view: memoryview | None = None
        self._filled = 0

    def feed(self) -> bool:
        """Read what has come; whether the answer is whole.

        Raises:
            HTTPException: This is no HTTP, or the connection ended too early.
            MalformedResponse: The body is beyond `MAX_RESPONSE_BYTES`.
            OSError: What `receive` raises, where nothing has come among it.
        """
        while not self._rest():
            pass
        return True

    def close(self) -> None:
        """Let go of the body's memory."""
        if self._view is not None:
            self._view.release()
            self._view = None

    def _read_head(self) -> bool:
        if not _BEGINNING.startswith(self._raw[: len(_BEGINNING)]):
            # Told at once: a peer that speaks another protocol may wait for ours.
            is_tls = self._raw.startswith(_TLS_RECORDS)
            said = "TLS" if is_tls else repr(bytes(self._raw[:40]))
            raise ProtocolError(f"the answer begins with {said}", is_tls=is_tls)
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            if len(self._raw) > MAX_HEAD_BYTES:
                raise ProtocolError(f"the head of the answer is over {MAX_HEAD_BYTES:,} bytes")
            if not self._recv(_FIRST_BYTES):
                if self.is_begun:
                    raise IncompleteRead(bytes(self._raw[:100]))
                raise RemoteDisconnected("the connection was closed without an answer")
            self.is_begun = True
            return False
        head = parse_head(bytes(self._raw[:end]))
        del self._raw[: end + 4]
        if 100 <= head.status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM_ANSWERS:
                raise ProtocolError(
                    f"{self._interim} answers of status {head.status} came, and not the answer"
                )
            return False  # a word on the way; the answer follows
        self.head = head
        return self._choose_framing(head)

    def _choose_framing(self, head: ResponseHead) -> bool:
        self.is_reusable = head.keeps_alive
        coding = head.headers.get("transfer-encoding", "").lower()
        if head.status in (204, 304):
            return self._expect("0")
        if coding == "chunked":
            self._rest = self._read_chunks
            if "content-length" in head.headers:
                self.is_reusable = False  # RFC 9112, section 6.3: it may be an attack
        elif coding:
            raise ProtocolError(f"the answer has the transfer coding {coding!r}")
        elif "content-length" in head.headers:
            # A proxy may repeat it; where all say the same, that is the length.
            length = head.headers["content-length"]
            if "," in length:
                lengths = {each.strip() for each in length.split(",")}
                length = lengths.pop() if len(lengths) == 1 else str(sorted(lengths))
            return self._expect(length)
        else:
            self.is_reusable = False
            self._rest = self._read_to_close
        self._body.clear()
        return False

    def _expect(self, length: str) -> bool:
        if not _DECIMAL.fullmatch(length):
            raise ProtocolError(f"the answer has the length {length[:40]!r}")
        size = int(length)
        _check_size(size)
        del self._body[size:]
        self._body += bytes(size - len(self._body))
        self._filled = min(size, len(self._raw))
        self._body[: self._filled] = self._raw[: self._filled]
        if len(self._raw) > size:
            self.is_reusable = False  # nobody asked for what follows
        self._view = memoryview(self._body)
        self._rest = self._fill
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
        """Take the next chunk out of what has come."""
        line_end = self._raw.find(b"\r\n")
        if line_end >= 0:
            size = _chunk_size(bytes(self._raw[:line_end]))
            _check_size(len(self._body) + size)
            stop = line_end + 2 + size
            if not size:
                del self._raw[: line_end + 2]
                self._rest = self._read_trailers
                return False
            if len(self._raw) >= stop + 2:
                if self._raw[stop : stop + 2] != b"\r\n":
                    raise ProtocolError("a chunk of the answer is not as long as it says")
                self._body += self._raw[line_end + 2 : stop]
                del self._raw[: stop + 2]
                return False
        elif len(self._raw) > MAX_HEAD_BYTES:
            raise ProtocolError("a chunk of the answer says no length")
        self._recv_or_fail()
        return False

    def _read_trailers(self) -> bool:
        line_end = self._raw.find(b"\r\n")
        if line_end < 0:
            if len(self._raw) > MAX_HEAD_BYTES:
                raise ProtocolError("what follows the chunks of the answer does not end")
            self._recv_or_fail()
            return False
        del self._raw[: line_end + 2]
        if line_end:
            return False
        if self._raw:
            self.is_reusable = False  # nobody asked for what follows
        return True

    def _recv(self, size: int) -> int:
        """Receive some more, behind what was received before."""
        memory = bytearray(size)
        count = self._receive(memoryview(memory))
        self._raw += memory[:count]
        return count

    def _recv_or_fail(self) -> None:
        if not self._recv(_MORE_BYTES):
            raise IncompleteRead(b"")


def parse_head(text: bytes) -> ResponseHead:
    """The head of an answer, without the empty line that ends it.

    Raises:
        HTTPException: It is none.
    """
    status_line, *lines = text.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()):
        raise ProtocolError(f"the answer begins with {status_line[:40]!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        # A line folded from the one before, or a space before the colon, may smuggle a header.
        if not colon or not name or name != name.strip():
            raise ProtocolError(f"the answer has the header line {line[:100]!r}")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    options = headers.get("connection", "").lower()
    keeps_alive = "close" not in options if version == "HTTP/1.1" else "keep-alive" in options
    return ResponseHead(int(code), headers, keeps_alive)


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip(b" \t")
    if not _HEXADECIMAL.fullmatch(digits):
        raise ProtocolError(f"a chunk of the answer has the length {line[:40]!r}")
    return int(digits, 16)


def _check_size(size: int) -> None:
    if size > MAX_RESPONSE_BYTES:
        raise MalformedResponse(
            f"the response has more than {MAX_RESPONSE_BYTES:,} bytes, which no listing page has"
        )
