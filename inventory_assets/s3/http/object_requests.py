"""Send small requests for single objects, with little CPU time for each.

A listing spends little on a request, as each brings a thousand keys. Here every key is a request,
so what is equal from one to the next is prepared once a second: credentials, endpoint, headers and
most of the signature. Each task sends its requests over a lane, one connection whose callbacks
stay with the event loop.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from inventory_assets.s3 import bucket_config as settings
from inventory_assets.s3.http.connection import AsyncHttpConnection
from inventory_assets.s3.http.endpoint import Endpoint
from inventory_assets.s3.http.response import ErrorResponse, RequestContext, Response
from inventory_assets.s3.http.sigv4 import Signer, encoded_query, object_path
from inventory_assets.s3.http.transport import (
    DEFAULT_HEADERS,
    Transport,
    header_lines,
    request_bytes,
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the requests of one second have in common.

    Attributes:
        second: The second.
        target: Where they go.
        context: The settings that they are sent with.
        signer: Signs them; None for anonymous requests.
        lines: Their headers except the signature.
        base: The beginning of their URLs, before the path.
    """

    second: int
    target: Endpoint
    context: RequestContext
    signer: Signer | None
    lines: str
    base: str


class ObjectRequests:
    """Requests for the objects of one bucket, for one event loop.

    Args:
        transport: Has the connections, the endpoint and the credentials.
        headers: Further headers of all requests, which are signed, with lower-case names.
    """

    def __init__(self, transport: Transport, headers: Mapping[str, str]) -> None:
        self._transport = transport
        self._headers = headers
        self._prepared: _Prepared | None = None

    def adapt_to_error(self, error_response: ErrorResponse) -> bool:
        """Adopt what an error response calls for, as `Transport.adapt_to_error` does."""
        self.renew()
        return self._transport.adapt_to_error(error_response)

    def renew(self) -> None:
        """Prepare anew, as the endpoint, the clock or the credentials have changed."""
        self._prepared = None

    @property
    def current(self) -> _Prepared | None:
        """What the requests of this second have in common, if it is prepared."""
        found = self._prepared
        return found if found is not None and found.second == int(time.time()) else None

    async def prepare(self) -> _Prepared:
        """Prepare what the requests of this second have in common.

        Raises:
            Exception: The errors of `Transport.route`.
        """
        second = int(time.time())
        target, context = await self._transport.route()
        headers = {**target.headers, **self._headers}
        signer = None
        if target.scope and context.credentials:
            now = datetime.now(UTC) + context.skew
            signer = Signer(context.credentials, *target.scope, now, target.host, headers)
            headers = signer.headers
        lines = header_lines(
            {**headers, "host": target.host, **target.proxy_headers, **DEFAULT_HEADERS}
        )
        base = target.origin if target.absolute else ""
        self._prepared = _Prepared(second, target, context, signer, lines, base)
        return self._prepared


class Lane:
    """Sends requests for objects one after the other, over a connection of its own.

    Args:
        transport: Has the connections.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._channel: AsyncHttpConnection | None = None
        self._target: Endpoint | None = None

    async def send(
        self,
        requests: ObjectRequests,
        method: str,
        key: str,
        parameters: Mapping[str, str],
        body: bytearray,
    ) -> Response:
        """Send a request and receive its response, whatever its status.

        Args:
            requests: What it has in common with others.
            method: `HEAD` or `GET`.
            key: The key of the object.
            parameters: The query, not encoded.
            body: Receives the body of the response; empty after `HEAD`.

        Raises:
            Exception: The errors of `Transport.get`.
        """
        prepared = requests.current or await requests.prepare()
        query = encoded_query(parameters)
        path = object_path(prepared.target.path, key)
        lines = prepared.lines
        if prepared.signer:
            signature = prepared.signer.authorization(method, path, query)
            lines = f"{lines}authorization: {signature}\r\n"
        url = f"{prepared.base}{path}?{query}" if query else prepared.base + path
        channel = self._usable(prepared.target) or await self._connect(prepared.target)
        head = await channel.send_request(
            request_bytes(method, url, lines),
            body,
            settings.READ_TIMEOUT_SECONDS,
            settings.RESPONSE_TIMEOUT_SECONDS,
            has_body=method != "HEAD",
        )
        return Response(head.status, head.headers, body, prepared.context, channel)

    def _usable(self, target: Endpoint) -> AsyncHttpConnection | None:
        channel = self._channel
        if channel is None or not channel.is_reusable or self._target is not target:
            return None
        # A byte that was read to find out is lost, so the connection is not used again.
        channel.is_reusable = channel.is_quiet
        return channel if channel.is_reusable else None

    async def _connect(self, target: Endpoint) -> AsyncHttpConnection:
        self.close()
        self._channel = channel = await self._transport.connected(target)
        self._target = target
        channel.attach()
        return channel

    def close(self) -> None:
        """Give the connection back."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.detach()
            self._transport.put_back(channel)
