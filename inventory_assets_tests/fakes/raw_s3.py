"""A bucket with keys of arbitrary bytes and with unreadable records."""

from collections.abc import Iterable
from urllib.parse import quote_from_bytes

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.decoding.page_peek import RawPage, peek_page
from inventory_assets.s3.decoding.xml_decoder import decode_page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.listings import (
    Listed,
    contents,
    contents_fields,
    element,
    listing,
)
from inventory_assets_tests.fakes.model_s3 import ModelS3


class RawS3(ModelS3):
    """Lists keys of any bytes; some have no size that can be read.

    Args:
        keys: Their bytes.
        sizeless: Those without a size.
        page_size: Keys in a page at most.
        garbled: Numbers of the requests whose answer has a garbled size once.
    """

    def __init__(
        self,
        keys: Iterable[bytes],
        sizeless: Iterable[bytes] = (),
        page_size: int = 3,
        garbled: Iterable[int] = (),
    ) -> None:
        super().__init__([], page_size)
        self._raw = sorted(keys)
        self._sizeless = set(sizeless)
        self._garbled = set(garbled)

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        body[:] = self._body(request, stats)
        received = peek_page(body)
        assert isinstance(received, RawPage)
        return received

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = decode_page(self._body(request, stats))
        assert isinstance(page, Page)
        return page

    def _body(self, request: PageRequest, stats: RequestStats) -> bytes:
        stats.sent()
        self.requests.append(request)
        after = bytes.fromhex(request.token) if request.token else request.start_after.encode()
        keys = [key for key in self._raw if key > after]
        keys = [key for key in keys if key.startswith(request.prefix.encode())]
        size = min(self._page_size, request.max_keys)
        page, token = keys[:size], keys[size - 1].hex() if len(keys) > size else None
        body = listing(
            *(self._rendered(key) for key in page),
            truncated="true" if token else "false",
            extra=element("NextContinuationToken", token),
        )
        if len(self.requests) in self._garbled:
            body = body.replace(b"<Size>", b"<Size>x", 1)
        return body

    def _rendered(self, key: bytes) -> str:
        fields = [element("Key", quote_from_bytes(key)), *contents_fields(Listed("k"))[1:]]
        if key in self._sizeless:
            fields = [field for field in fields if "Size" not in field]
        return contents(*fields)
