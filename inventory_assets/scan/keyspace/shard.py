"""Shards: a prefix, less the longer prefixes that are shards of their own.

The shard of the source's own prefix is the *remainder*: it covers every key that no other shard
covers, so that keys at the root, between prefixes, or under a prefix nobody knew of are never lost.
A key belongs to the shard with the longest prefix that it starts with.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from inventory_assets.scan.keyspace.key_range import KeyRange, outermost


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a source's key space.

    Attributes:
        prefix: What every key of the shard starts with.
        excluded: The prefixes within it that the shard leaves out, in order, none within another.
    """

    prefix: str
    excluded: tuple[str, ...] = ()

    @property
    def ranges(self) -> tuple[KeyRange, ...]:
        """The stretches of keys that the shard covers, in order."""
        return KeyRange.of_prefix(self.prefix).minus(self.excluded)

    def covers(self, key: str) -> bool:
        """Whether `key` belongs to the shard."""
        return key.startswith(self.prefix) and not key.startswith(self.excluded)


def make_shard(prefix: str, prefixes: Iterable[str]) -> Shard:
    """The shard of `prefix`, less those of `prefixes` that lie within it."""
    within = (other for other in prefixes if other != prefix and other.startswith(prefix))
    return Shard(prefix, outermost(within))
