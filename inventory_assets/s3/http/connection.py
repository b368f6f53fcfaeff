"""Asynchronous HTTP/1.1 connections: send a request, receive the response.

urllib3 opens the connection in a thread, as that blocks. From then on the socket is non-blocking
and driven by the event loop of the current request, so that one thread serves any number of
connections.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from urllib3.connection import HTTPConnection
from urllib3.util.ssltransport import SSLTransport

from inventory_assets.s3.http.http1_parser import ResponseHead, ResponseParser

_T = TypeVar("_T")

_NOT_READY = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class AsyncHttpConnection:
    """An open connection, for one request at a time, from any event loop.

    Args:
        connection: An open connection; its socket becomes non-blocking.

    Attributes:
        is_reusable: Whether another request can be sent after the last response.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self.is_reusable = True
        self._connection = connection
        self._reading: _Reading | None = None
        # Plain, TLS, or TLS in TLS; each raises different exceptions of `_NOT_READY`.
        self._socket: Any = connection.sock
        self._socket.settimeout(0)

    @property
    def is_quiet(self) -> bool:
        """Whether the connection is open and has no unread bytes.

        Unsolicited bytes between two responses would be read as the next response.
        """
        if self._reading is not None:
            return not self._reading.is_stopped  # its callbacks saw all that arrived
        return self._has_nothing_to_read()

    def _has_nothing_to_read(self) -> bool:
        try:
            self._socket.recv(1)
        except _NOT_READY:
            return True
        except (OSError, ValueError):
            return False
        return False  # a byte, or the end of the connection

    def abort(self) -> None:
        """Shut the connection down, even while another thread uses it."""
        self.is_reusable = False
        plain = self._socket.socket if isinstance(self._socket, SSLTransport) else self._socket
        with suppress(OSError):
            socket.socket.shutdown(plain, socket.SHUT_RDWR)

    def attach(self) -> None:
        """Keep the callbacks of the running event loop from request to request.

        That saves a third of the CPU time of a small request. Until `detach`, the connection is for
        this loop only.
        """
        loop, descriptor = asyncio.get_running_loop(), self._socket.fileno()
        self._reading = _Reading(loop, descriptor, self._has_nothing_to_read)

    def detach(self) -> None:
        """Remove the callbacks, so that another event loop can use the connection."""
        if self._reading is not None:
            self._reading.stop()
            self._reading = None

    def close(self) -> None:
        """Close the connection."""
        self.detach()
        self._connection.close()

    async def send_request(
        self,
        request: bytes,
        body: bytearray,
        idle_timeout: float,
        total_timeout: float,
        *,
        has_body: bool = True,
    ) -> ResponseHead:
        """Send a request and receive its response.

        Args:
            request: Head and body.
            body: Receives the body of the response, replacing its content.
            idle_timeout: Maximum seconds without a byte.
            total_timeout: Maximum seconds for the whole response.
            has_body: Whether the response has a body; that to a HEAD has none.

        Raises:
            HTTPException, OSError: A network error; TimeoutError after either timeout.
            MalformedResponse: The response is too large.
        """
        self.is_reusable = False
        reading = self._reading
        loop = asyncio.get_running_loop() if reading is None else reading.loop
        left = self._send_now(request)
        if left:
            await self._send(loop, left, idle_timeout)
        reader = ResponseParser(self._socket.recv_into, body, has_body=has_body)
        reading = reading or _Reading(loop, self._socket.fileno())
        try:
            await reading.start(reader, idle_timeout, total_timeout)
        finally:
            reading.end()
            if reading is not self._reading:
                reading.stop()
            reader.close()
        if reader.head is None:
            raise RuntimeError("the response ended without a head")
        self.is_reusable = reader.is_reusable
        return reader.head

    def _send_now(self, request: bytes) -> bytes:
        """Send what can be sent without waiting, mostly all; return the rest."""
        try:
            return request[self._socket.send(request) :]
        except _NOT_READY:
            return request

    async def _send(
        self, loop: asyncio.AbstractEventLoop, left: bytes, idle_timeout: float
    ) -> None:
        while left:
            writable = loop.create_future()
            loop.add_writer(self._socket.fileno(), _set, writable)
            try:
                async with asyncio.timeout(idle_timeout):
                    await writable
            finally:
                loop.remove_writer(self._socket.fileno())
            left = self._send_now(left)


_LATE_SECONDS = 0.1
"""A timer that is later than this was delayed because the process was busy or suspended."""


class _Reading:
    """Receives responses by callbacks, which cost less than resuming a task for each arrival.

    Args:
        loop: The event loop.
        descriptor: The socket.
        is_quiet: Whether nothing can be read between two responses; None if it is for one response.

    Attributes:
        loop: As given.
        is_stopped: Whether the callbacks are removed, such as after a stray byte.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        is_quiet: Callable[[], bool] | None = None,
    ) -> None:
        self.loop = loop
        self.is_stopped = False
        self._descriptor = descriptor
        self._is_quiet = is_quiet
        self._reader: ResponseParser | None = None
        self._done: asyncio.Future[None] | None = None
        self._is_complete = False
        self._timer: asyncio.TimerHandle | None = None
        loop.add_reader(descriptor, self._on_readable)

    def start(
        self, reader: ResponseParser, idle_timeout: float, total_timeout: float
    ) -> "asyncio.Future[None]":
        """Receive a response; the future is done when it is complete, or has failed."""
        self._reader = reader
        self._idle_timeout = idle_timeout
        self._total_timeout = total_timeout
        self._heard_at = now = self.loop.time()
        self._end = now + total_timeout
        first = now + min(idle_timeout, total_timeout)
        # An earlier timer of an earlier response is left to wait again.
        if self._timer is None or self._deadline > first:
            self._wait(first)
        self._done, self._is_complete = self.loop.create_future(), False
        if self.is_stopped:
            self._done.set_exception(ConnectionResetError("the connection ended while idle"))
        return self._done

    def end(self) -> None:
        """Leave the response."""
        self._reader = self._done = None

    def stop(self) -> None:
        """Remove the callbacks."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self.is_stopped:
            self.is_stopped = True
            self.loop.remove_reader(self._descriptor)

    def _wait(self, deadline: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._deadline = deadline
        self._timer = self.loop.call_at(deadline, self._on_timer)

    def _on_readable(self) -> None:
        if self._reader is None or self._done is None or self._is_complete:
            if self._is_quiet is None or not self._is_quiet():
                self.stop()  # a stray byte, or the end of the connection
            return
        if self._done.done():
            return
        try:
            self._reader.feed()
        except _NOT_READY:
            self._heard_at = self.loop.time()
        except Exception as error:  # noqa: BLE001 - raised by awaiting the future
            self._done.set_exception(error)
        else:
            self._is_complete = True
            if self._is_quiet is None:
                self._done.set_result(None)
            else:
                # Bytes that have arrived since call this method before the task continues, which
                # costs less than to try to read before each request.
                self.loop.call_soon(_set, self._done)

    def _on_timer(self) -> None:
        self._timer = None
        if self._done is None or self._is_complete:
            return
        now = self.loop.time()
        # Time in which this process could not receive does not count.
        late = now - self._deadline
        self._end += late
        left = min(self._heard_at + self._idle_timeout, self._end) - now
        if late > _LATE_SECONDS:
            left = max(left, late)
        if left > 0:
            self._wait(now + left)
        elif not self._done.done():
            message = (
                f"the response was not complete after {self._total_timeout:g} seconds"
                if now >= self._end
                else f"no bytes arrived for {self._idle_timeout:g} seconds"
            )
            self._done.set_exception(TimeoutError(message))


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run a blocking function in a new daemon thread, which is abandoned on cancellation."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def report(setter: Callable[[Any], None], value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if result.done() else setter(value))

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - raised by `await result`
            report(result.set_exception, error)
        else:
            report(result.set_result, found)

    threading.Thread(target=run, name="connect", daemon=True).start()
    return await result


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
