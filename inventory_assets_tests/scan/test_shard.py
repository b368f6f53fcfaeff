from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.scan.keyspace.key_range import KeyRange, tiling_violation
from inventory_assets.scan.keyspace.shard import Shard, make_shard

ALPHABET = "-/0\0\U0010ffff"
KEYS = ["".join(name) for size in (1, 2, 3) for name in product(ALPHABET, repeat=size)]
prefixes = st.text(ALPHABET, max_size=3)


def test_a_shard_leaves_out_only_the_outermost_prefixes_within_it() -> None:
    shard = make_shard("a/", ["a/b/", "a/b/c/", "a/", "b/", "a", "", "a/a/"])
    assert shard == Shard("a/", ("a/a/", "a/b/"))


def test_the_remainder_without_other_shards_covers_everything() -> None:
    assert make_shard("", []).ranges == (KeyRange.of_prefix(""),)


@given(st.lists(prefixes, max_size=6))
def test_a_key_belongs_to_the_shard_of_its_longest_prefix_and_no_other(some: list[str]) -> None:
    registered = ["", *some]
    shards = {prefix: make_shard(prefix, registered) for prefix in registered}
    for key in KEYS:
        owner = max((prefix for prefix in registered if key.startswith(prefix)), key=len)
        assert [prefix for prefix, shard in shards.items() if shard.covers(key)] == [owner]


@given(prefixes, st.lists(prefixes, max_size=6))
def test_the_ranges_of_a_shard_hold_exactly_the_keys_it_covers(
    prefix: str, others: list[str]
) -> None:
    shard = make_shard(prefix, others)
    for key in KEYS:
        assert sum(key in task for task in shard.ranges) == int(shard.covers(key))


@given(prefixes, st.lists(prefixes, max_size=6))
def test_the_shards_of_a_source_tile_it(source: str, some: list[str]) -> None:
    registered = {source, *(prefix for prefix in some if prefix.startswith(source))}
    ranges = [task for prefix in registered for task in make_shard(prefix, registered).ranges]
    assert tiling_violation(sorted(ranges), [KeyRange.of_prefix(source)]) is None
