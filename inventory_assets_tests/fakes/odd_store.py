"""An in-memory bucket with one kind of non-standard listing."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from random import Random

from inventory_assets.s3.decoding.page import NO_OBJECTS, Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets_tests.fakes.listings import objects_of
from inventory_assets_tests.fakes.model_s3 import ModelS3


class Oddity(StrEnum):
    """The kind of listing."""

    NONE = "as it should"
    INCLUSIVE = "shows the key itself that a request begins after"
    START_NEEDS_PREFIX = "answers nothing where StartAfter does not begin with the prefix"
    ENDS_EARLY = "says after a page that nothing follows"
    TOKENS_SKIP = "leaves out the key that follows on a page"
    IGNORES_START = "begins with the first key, whatever StartAfter says"
    DIRECTORIES = "compares names level by level, StartAfter too"
    DIRECTORIES_FROM_BYTES = "compares names level by level, StartAfter by bytes"
    HIDES = "leaves some keys out of ranges, and shows them by name"
    SOMETIMES_EMPTY = "answers some ranges with nothing"


IN_BYTE_ORDER = [
    Oddity.NONE,
    Oddity.INCLUSIVE,
    Oddity.START_NEEDS_PREFIX,
    Oddity.ENDS_EARLY,
    Oddity.TOKENS_SKIP,
]
"""Those on which ranges can be asked for, and show all there is."""

WITHOUT_RANGES = [Oddity.IGNORES_START, Oddity.DIRECTORIES, Oddity.DIRECTORIES_FROM_BYTES]


class OddStore(ModelS3):
    """Lists `keys` page by page.

    Args:
        keys: The keys of the bucket.
        oddity: The kind of listing.
        page_size: Keys and common prefixes in a page at most.
        hidden: The keys that `HIDES` leaves out.
        sizes: Sizes of objects; by default, the length of the key.
    """

    def __init__(
        self,
        keys: Collection[str],
        oddity: Oddity = Oddity.NONE,
        page_size: int = 10,
        *,
        hidden: Collection[str] = (),
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        in_directory_order = oddity in (Oddity.DIRECTORIES, Oddity.DIRECTORIES_FROM_BYTES)
        super().__init__(keys, page_size, in_directory_order=in_directory_order)
        self._oddity = oddity
        self._hidden = hidden
        self._sizes = sizes
        self._chance = Random(1)  # noqa: S311 - it guards no secret

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        stats.sent()
        self.requests.append(request)
        after = request.start_after
        entries = self._entries(PageRequest(request.prefix, delimiter=request.delimiter), "")
        if self._oddity is Oddity.HIDES and self._is_a_range(request):
            entries = [each for each in entries if each[0] not in self._hidden]
        if request.token:
            start = int(request.token)
        elif self._oddity is Oddity.START_NEEDS_PREFIX and not after.startswith(request.prefix):
            entries, start = ([], 0) if after else (entries, 0)
        elif self._oddity is Oddity.IGNORES_START or not after:
            start = 0
        elif self._oddity is Oddity.DIRECTORIES_FROM_BYTES:
            entries, start = [each for each in entries if each[0] > after], 0
        else:
            rank = self._rank(after)
            is_before = [
                self._rank(name) < rank or (name == after and self._oddity is not Oddity.INCLUSIVE)
                for name, _ in entries
            ]
            start = sum(is_before)
        if self._oddity is Oddity.SOMETIMES_EMPTY and self._is_a_range(request):
            entries = entries if self._chance.random() < 0.5 else []
        end = start + min(self._page_size, request.max_keys)
        more = end < len(entries) and self._oddity is not Oddity.ENDS_EARLY
        page = entries[start:end]
        token = str(end + (self._oddity is Oddity.TOKENS_SKIP)) if more else None
        names = [name for name, is_folder in page if not is_folder]
        return Page(
            objects_of(names, self._sizes) if names else NO_OBJECTS,
            tuple(name for name, is_folder in page if is_folder),
            more,
            token,
        )

    def _is_a_range(self, request: PageRequest) -> bool:
        """Whether a request is not the lookup of a single key."""
        return request.prefix not in self._keys
