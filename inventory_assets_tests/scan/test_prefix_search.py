import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS
from inventory_assets.scan import prefix_search
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import LEVEL_PAGES, PrefixSearch, ShardBounds
from inventory_assets.scan.search_position import SearchPosition
from inventory_assets_tests.fakes.model_s3 import ModelS3
from inventory_assets_tests.scan.discovered_shards import ALPHABET, keys_strategy

POSITION = TypeAdapter(SearchPosition)


@given(
    keys_strategy,
    st.text(ALPHABET, max_size=2),
    st.integers(1, 3),
    st.dictionaries(st.text(ALPHABET, min_size=1, max_size=3), st.integers(0, 9)),
    st.booleans(),
    st.sampled_from([1, 2, LEVEL_PAGES]),
    st.integers(1, 4),
)
@settings(max_examples=200)
def test_a_search_that_ends_anywhere_and_continues_elsewhere_finds_the_same(
    keys: set[str],
    source: str,
    depth: int,
    rows: dict[str, int],
    in_directory_order: bool,
    pages: int,
    steps: int,
) -> None:
    def bucket() -> ModelS3:
        return ModelS3(keys, 2, in_directory_order=in_directory_order)

    bounds = ShardBounds(depth, min_objects=3, split_objects=6)
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_search, "LEVEL_PAGES", pages)
        at_once = discover(bucket(), source, bounds, rows_under=rows.get)
        position = SearchPosition.start(source, depth, at_once.profile, None)
        while position.levels:
            text = POSITION.dump_json(position)
            again = POSITION.validate_json(text)
            search = PrefixSearch(bucket(), bounds, rows.get, again, RequestStats())
            for _ in range(steps):
                shard = None if search.is_done else search.step()
                found += [] if shard is None else [shard]
            position = search.position
    assert tuple(found) == at_once.prefixes
    assert position.found == len(found)


def test_a_search_is_not_endless_where_a_level_takes_longer_than_a_step() -> None:
    """Each process ends after one step, and lists all levels under way again."""
    keys = [f"{a}/{b}/{c}/k" for a in range(5) for b in range(5) for c in range(5)]
    position = SearchPosition.start("", 3, AWS, KeyOrder.BYTES)
    steps = 0
    while position.levels:
        bucket = ModelS3(keys)
        search = PrefixSearch(bucket, ShardBounds(3), lambda _: None, position, RequestStats())
        search.step()
        assert len(bucket.requests) <= LEVEL_PAGES
        position = search.position
        steps += 1
    assert (position.found, steps) == (125, 1 + 2 * (5 + 25) + 125)
