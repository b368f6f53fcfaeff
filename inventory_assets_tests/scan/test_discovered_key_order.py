from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.s3.decoding.page import Page
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import Discovery, discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.scan.discovered_shards import ALPHABET, keys_strategy


def level(keys: Iterable[str], prefix: str) -> tuple[set[str], set[str]]:
    """The keys and folders directly under a prefix."""
    plain: set[str] = set()
    folders: set[str] = set()
    for key in keys:
        if key.startswith(prefix):
            folder, slash, _ = key[len(prefix) :].partition("/")
            (folders if slash else plain).add(prefix + folder + slash)
    return plain, folders


def tells_the_orders_apart(keys: Iterable[str], prefix: str) -> bool:
    """Whether a name directly under the prefix sorts between a folder and its bare name."""
    plain, folders = level(keys, prefix)
    return any(
        folder.removesuffix("/") < name < folder for folder in folders for name in plain | folders
    )


@given(keys_strategy, st.text(ALPHABET, max_size=2), st.integers(0, 3), st.integers(1, 8))
@settings(max_examples=200)
def test_directory_order_is_never_missed_where_a_listed_level_can_tell(
    keys: set[str], source: str, depth: int, page_size: int
) -> None:
    lister = ModelS3(keys, page_size, in_directory_order=True)
    found = discover(lister, source, ShardBounds(depth=depth))
    listed = {request.prefix for request in lister.requests if request.delimiter}
    is_known = any(tells_the_orders_apart(keys, prefix) for prefix in listed)
    is_found = found.key_order is KeyOrder.DIRECTORY
    assert is_found or not is_known
    # A store may be recognised in other ways, too, but never without reason.
    assert not is_found or [*lister._keys] != sorted(keys)


@given(
    keys_strategy,
    st.text(ALPHABET, max_size=2),
    st.text(ALPHABET.replace("/", ""), min_size=1, max_size=3),
    st.sampled_from("-.\0"),
    st.integers(1, 8),
)
def test_a_name_between_a_folder_and_its_bare_name_reveals_directory_order(
    others: set[str], source: str, name: str, character: str, page_size: int
) -> None:
    keys = {*others, f"{source}{name}{character}", f"{source}{name}/x"}
    assert tells_the_orders_apart(keys, source)
    lister = ModelS3(keys, page_size, in_directory_order=True)
    assert discover(lister, source, ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_an_object_that_bears_a_folders_name_does_not_hide_directory_order(page_size: int) -> None:
    keys = ["a", "a-b", "a/x"]
    lister = ModelS3(keys, page_size, in_directory_order=True)
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


class _Grouped(ModelS3):
    """Sorts the folders of each page, so that only a probe reveals its order."""

    def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
        page = super().list_page_sync(request, stats)
        order = sorted(page.common_prefixes)
        return Page(page.objects, tuple(order), page.is_truncated, page.next_token)


@pytest.mark.parametrize("in_directory_order", [True, False])
def test_the_order_is_probed_once_with_a_telling_pair(in_directory_order: bool) -> None:
    keys = ["a", "a-/y", "a-b", "a/x", "b-", "b/x"]
    lister = _Grouped(keys, 1000, in_directory_order=in_directory_order)
    found = discover(lister, "", ShardBounds())
    assert found.key_order is (KeyOrder.DIRECTORY if in_directory_order else KeyOrder.BYTES)
    # Besides those that find out how the store lists: one more where keys seem to have changed.
    assert found.requests == 2 + 4 + in_directory_order


def test_a_page_that_shows_directory_order_makes_a_probe_unnecessary() -> None:
    lister = ModelS3(["a-/y", "a/x"], 1000, in_directory_order=True)
    found = discover(lister, "", ShardBounds())
    assert (found.key_order, found.requests) == (KeyOrder.DIRECTORY, 1 + 1)


def test_a_pair_that_no_longer_exists_does_not_determine_the_order() -> None:
    class Vanishing(_Grouped):
        def list_page_sync(self, request: PageRequest, stats: RequestStats) -> Page:
            page = super().list_page_sync(request, stats)
            if request.delimiter:
                self._keys = [key for key in self._keys if not key.startswith("a")]
            return page

    lister = Vanishing(["a-b", "a/x", "b-", "b/x"], 1000, in_directory_order=True)
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


def test_a_server_known_to_list_in_directory_order_is_not_probed() -> None:
    lister = ModelS3(["a/x", "b"], 1000)
    lister.server = "SeaweedFS Filer 4.0"
    assert discover(lister, "", ShardBounds()).key_order is KeyOrder.DIRECTORY


@pytest.mark.parametrize("order", list(KeyOrder))
def test_a_known_order_is_not_probed(order: KeyOrder) -> None:
    lister = ModelS3(["a-b", "a/x"], 1000)
    found = discover(lister, "", ShardBounds(), key_order=order)
    assert (found.key_order, found.requests) == (order, 1 + (order is KeyOrder.BYTES))


def test_a_large_level_in_directory_order_is_not_split() -> None:
    keys = ["a-b", "a/x", *(f"c{n:03}" for n in range(50))]
    found = discover(ModelS3(keys, 2, in_directory_order=True), "", ShardBounds())
    assert found == Discovery((), KeyOrder.DIRECTORY, found.requests)
