"""A bucket of any size whose pages are generated when they are requested."""

from bisect import bisect_right

from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page import NO_OBJECTS, Page
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.fake_source import FakeSource
from inventory_assets_tests.fakes.listings import Listed, contents, contents_fields, listing

PAGE_KEYS = 1000


class GeneratedBucket(FakeSource):
    """Holds `data/00000000/000` and so on, a thousand keys to a number."""

    def __init__(self, count: int, receivers: int) -> None:
        super().__init__(BucketConfig("generated", max_in_flight=receivers))
        self._count = count
        self._objects = [
            contents(
                *contents_fields(Listed(f"data/NNNNNNNN/{n:03}", size=n * 977, e_tag=f"{n:032x}"))
            )
            for n in range(PAGE_KEYS)
        ]

    async def list_page(self, request: PageRequest, stats: RequestStats) -> Page:  # noqa: ARG002
        """No folders: the level is flat as far as anyone can see."""
        stats.sent()
        return Page(NO_OBJECTS, (), False, None)

    async def fetch_raw_page(
        self, request: PageRequest, stats: RequestStats, body: bytearray
    ) -> RawPage:
        stats.sent()
        start = int(request.token) if request.token else self._first_after(request.start_after)
        number, place = divmod(start, PAGE_KEYS)
        stop = min(PAGE_KEYS, place + self._count - start)
        token = str(start + stop - place) if start + stop - place < self._count else None
        body[:] = listing(
            "".join(self._objects[place:stop]).replace("NNNNNNNN", f"{number:08}"),
            truncated="true" if token else "false",
            extra=f"<NextContinuationToken>{token}</NextContinuationToken>" if token else "",
        )
        last_key = _key(start + stop - place - 1) if stop > place else None
        return RawPage(body, token is not None, token, last_key)

    def _first_after(self, key: str) -> int:
        return bisect_right(range(self._count), key, key=_key)


def _key(index: int) -> str:
    number, place = divmod(index, PAGE_KEYS)
    return f"data/{number:08}/{place:03}"
