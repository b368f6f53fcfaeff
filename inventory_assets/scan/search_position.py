"""Where a search for shards stands: a small value, at which another search can continue."""

from dataclasses import dataclass

from inventory_assets.s3.store_profile import AWS, StartAfter, StoreProfile
from inventory_assets.scan.keyspace.key_order import KeyOrder


@dataclass(frozen=True, slots=True)
class CharacterSplit:
    """The split of a level by next character, which takes one request for each character.

    Attributes:
        prefix: The common prefix of all keys, as far as it is known.
        characters: The characters found after it, in order.
        after: The next request asks for the first key after this.
        is_complete: Whether there are no further characters.
    """

    prefix: str
    characters: str = ""
    after: str = ""
    is_complete: bool = False

    @property
    def children(self) -> list[str]:
        """The prefixes into which the level is split."""
        return [self.prefix + character for character in self.characters]


@dataclass(frozen=True, slots=True)
class OpenLevel:
    """A prefix whose children are being searched.

    Attributes:
        prefix: The prefix.
        depth: How many levels below it may become shards; at least 1.
        after: The last child that was searched; empty at first.
        found: The number of shards found within it.
        split: Its split, if it is too large to be listed.
    """

    prefix: str
    depth: int
    after: str = ""
    found: int = 0
    split: CharacterSplit | None = None


@dataclass(frozen=True, slots=True)
class SearchPosition:
    """Where a search stands.

    Attributes:
        levels: The prefixes under way, each a child of the one before; empty at the end.
        profile: The store's profile.
        key_order: The order in which the store lists, if known.
        found: The number of shards found.
    """

    levels: tuple[OpenLevel, ...]
    profile: StoreProfile = AWS
    key_order: KeyOrder | None = None
    found: int = 0

    @classmethod
    def start(
        cls, prefix: str, depth: int, profile: StoreProfile, key_order: KeyOrder | None
    ) -> "SearchPosition":
        """The beginning of a search, or its end if there can be no shards."""
        # Without StartAfter, the remainder could not be listed.
        is_searched = depth > 0 and profile.start_after is not StartAfter.IGNORED
        return cls((OpenLevel(prefix, depth),) if is_searched else (), profile, key_order)
