"""Carry requests and answers over open connections, driven by whichever event loop asks.

A connection is opened by urllib3, in a thread, as that waits. From then on its socket does not
block: bytes are read when the event loop says that there are some, and no thread stands by. One
thread serves any number of connections so, without a lock handed to and fro.
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

_NOT_YET = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class AsyncHttpConnection:
    """An open connection, for one request at a time.

    Args:
        connection: Opened; its socket is the wire's from now on.

    Attributes:
        is_reusable: Whether the last answer left it fit for another request.
    """

    def __init__(self, connection: HTTPConnection) -> None:
        self.is_reusable = True
        self._connection = connection
        # Plain, TLS, or TLS in TLS: they differ in how they say that nothing has come yet.
        self._socket: Any = connection.sock
        self._socket.settimeout(0)

    @property
    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing is waiting to be read.

        A byte that arrives between two answers was asked for by nobody: the answer to the next
        request would be read from the wrong place.
        """
        try:
            self._socket.recv(1)
        except _NOT_YET:
            return True
        except (OSError, ValueError):
            return False
        return False  # a byte, or the end of the connection

    def abort(self) -> None:
        """Break the connection off, also under another thread that is using it now."""
        self.is_reusable = False
        plain = self._socket.socket if isinstance(self._socket, SSLTransport) else self._socket
        with suppress(OSError):
            socket.socket.shutdown(plain, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def send_request(
        self, request: bytes, body: bytearray, idle_timeout: float, longest: float
    ) -> ResponseHead:
        """Send a request and read its answer.

        Args:
            request: Head and body.
            body: What the body of the answer replaces.
            idle_timeout: Seconds without a byte after which the other side is given up.
            longest: Seconds after which it is given up though bytes come.

        Raises:
            HTTPException, OSError: Trouble with the network; a TimeoutError after `idle_timeout`,
                and after `longest`.
            MalformedResponse: The answer is too large.
        """
        loop = asyncio.get_running_loop()
        self.is_reusable = False
        await self._send(loop, request, idle_timeout)
        reader = ResponseParser(self._socket.recv_into, body)
        reading = _Reading(loop, self._socket.fileno(), reader, idle_timeout, longest)
        try:
            await reading.done
        finally:
            reading.stop()
            reader.close()
        if reader.head is None:
            raise RuntimeError("an answer was whole without a head")
        self.is_reusable = reader.is_reusable
        return reader.head

    async def _send(
        self, loop: asyncio.AbstractEventLoop, request: bytes, idle_timeout: float
    ) -> None:
        left = memoryview(request)
        while left:
            try:
                left = left[self._socket.send(left) :]
            except _NOT_YET:
                writable = loop.create_future()
                loop.add_writer(self._socket.fileno(), _set, writable)
                try:
                    async with asyncio.timeout(idle_timeout):
                        await writable
                finally:
                    loop.remove_writer(self._socket.fileno())


_LATE_SECONDS = 0.1
"""By how much a timer is late only where the process did something else meanwhile."""


class _Reading:
    """An answer on its way in; a callback per arrival costs less than a task that is resumed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        reader: ResponseParser,
        idle_timeout: float,
        longest: float,
    ) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._descriptor = descriptor
        self._reader = reader
        self._idle_timeout = idle_timeout
        self._longest = longest
        self._heard_at = loop.time()
        self._end = self._heard_at + longest
        self._wait(min(idle_timeout, longest))
        loop.add_reader(descriptor, self._on_readable)

    def _wait(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def stop(self) -> None:
        """Listen no more."""
        self._timer.cancel()
        self._loop.remove_reader(self._descriptor)

    def _on_readable(self) -> None:
        if self.done.done():
            return
        try:
            self._reader.feed()
        except _NOT_YET:
            self._heard_at = self._loop.time()
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            self.done.set_exception(error)
        else:
            self.done.set_result(None)

    def _on_timer(self) -> None:
        now = self._loop.time()
        # While this process did something else, the other side had nobody to send to.
        late = now - self._deadline
        self._end += late
        left = min(self._heard_at + self._idle_timeout, self._end) - now
        if late > _LATE_SECONDS:
            left = max(left, late)
        if left > 0:
            self._wait(left)
        elif not self.done.done():
            trouble = (
                f"the answer was not whole after {self._longest:g} seconds"
                if now >= self._end
                else f"nothing was heard for {self._idle_timeout:g} seconds"
            )
            self.done.set_exception(TimeoutError(trouble))


async def in_thread(work: Callable[[], _T]) -> _T:
    """Do what blocks in a thread of its own, which nobody waits for if this is cancelled."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def tell(say: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
            loop.call_soon_threadsafe(lambda: None if result.done() else say(what))

    def run() -> None:
        try:
            found = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is awaited
            tell(result.set_exception, error)
        else:
            tell(result.set_result, found)

    threading.Thread(target=run, name="connect", daemon=True).start()
    return await result


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
