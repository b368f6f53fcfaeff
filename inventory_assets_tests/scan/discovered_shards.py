"""Keys to discover shards of, and the check that the shards cover them."""

from collections.abc import Iterable

from hypothesis import strategies as st

from inventory_assets.scan.keyspace.key_range import KeyRange, outermost, tiling_violation
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets.scan.prefix_discovery import Discovery

ALPHABET = "-/0a.\0\U0010fffd\U0010ffff"
keys_strategy = st.sets(st.text(ALPHABET, min_size=1, max_size=5), max_size=30)


def check_cover(source: str, found: Discovery, keys: Iterable[str]) -> None:
    """Check that the prefixes are disjoint, within the source, and tile it with the remainder."""
    assert list(found.prefixes) == sorted(set(found.prefixes))
    assert outermost(found.prefixes) == found.prefixes
    assert all(prefix.startswith(source) and prefix != source for prefix in found.prefixes)
    registered = [source, *found.prefixes]
    shards = [make_shard(prefix, registered) for prefix in registered]
    ranges = sorted(task for shard in shards for task in shard.ranges)
    assert tiling_violation(ranges, [KeyRange.of_prefix(source)]) is None
    for key in keys:
        assert sum(shard.covers(key) for shard in shards) == int(key.startswith(source))
