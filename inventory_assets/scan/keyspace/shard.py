"""Shards: a prefix without the longer prefixes that are shards themselves.

The shard of the source's own prefix is the *remainder*. It covers all keys that no other shard
covers: those at the root, between prefixes, or under a new prefix. A key belongs to the shard with
the longest matching prefix.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from inventory_assets.scan.keyspace.key_range import KeyRange, outermost


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a source's key space.

    Attributes:
        prefix: The prefix of all keys of the shard.
        excluded: Longer prefixes that belong to other shards, in order, none within another.
    """

    prefix: str
    excluded: tuple[str, ...] = ()

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """The key ranges that the shard covers, in order."""
        return KeyRange.of_prefix(self.prefix).minus(self.excluded)

    def covers(self, key: str) -> bool:
        """Whether `key` belongs to the shard."""
        return key.startswith(self.prefix) and not key.startswith(self.excluded)


def make_shard(prefix: str, prefixes: Iterable[str]) -> Shard:
    """The shard of `prefix` without those of `prefixes` that are within it."""
    within = (other for other in prefixes if other != prefix and other.startswith(prefix))
    return Shard(prefix, outermost(within))
