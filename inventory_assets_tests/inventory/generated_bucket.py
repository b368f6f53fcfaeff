"""List a bucket that is made up as it is asked for, and tell the memory that took.

Run as a process of its own, `python -m inventory_assets_tests.inventory.generated_bucket COUNT
RECEIVERS ALLOWED FOLDER`: with a limit on its data of ALLOWED bytes beyond what it has when it
starts to list, it prints how many objects it listed and its peak resident memory in bytes.
"""

import resource
import sys
from bisect import bisect_right
from pathlib import Path

from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.decoding.page_peek import RawPage
from inventory_assets.s3.decoding.xml_decoder import NO_OBJECTS, Page
from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets_tests.listings import Listed, contents, contents_fields, listing

PAGE_KEYS = 1000
STACK_BYTES = 8 * 2**20


class GeneratedBucket(ListClient):
    """Holds `data/00000000/000` and so on, a thousand keys to a number."""

    def __init__(self, count: int, receivers: int) -> None:
        self.connection = BucketConfig("generated", max_in_flight=receivers)
        self.server = None
        self._count = count
        self._objects = [
            contents(
                *contents_fields(Listed(f"data/NNNNNNNN/{n:03}", size=n * 977, e_tag=f"{n:032x}"))
            )
            for n in range(PAGE_KEYS)
        ]

    @property
    def in_flight(self) -> tuple[int, int]:
        return 0, self.connection.max_in_flight

    def cancel(self) -> None:
        """Nothing is on its way."""

    def close(self) -> None:
        """Nothing is open."""

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


def main(count: int, receivers: int, allowed: int, folder: Path) -> None:
    """List under a limit; a MemoryError is the end of it."""
    lister = GeneratedBucket(count, receivers)
    # The stack of each thread counts as data, though hardly any of it is ever touched.
    limit = _memory("VmData") + receivers * STACK_BYTES + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    found = list_into_folder(lister, "", folder)
    # Not that of getrusage, which begins with the peak of the process that started this one.
    print(found.rows, _memory("VmHWM"))


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
