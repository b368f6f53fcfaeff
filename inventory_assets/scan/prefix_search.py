"""Search for prefixes that should be shards, step by step.

Levels are listed with a delimiter down to a depth. A level that is too large (flat keys, or very
many folders) is split by next character instead, so that hashed key spaces get shards, too.

A search can end after any step and continue elsewhere.
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace

from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.errors import ListingStuck, TooManyShards
from inventory_assets.scan.key_encoding import page_with_names
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS, KeyOrder
from inventory_assets.scan.keyspace.key_range import (
    DELIMITER,
    MAX_KEY_BYTES,
    KeyRange,
    prefix_upper_bound,
)
from inventory_assets.scan.search_position import CharacterSplit, OpenLevel, SearchPosition
from inventory_assets.scan.validation.order_proof import telling_pairs

LEVEL_PAGES = 20
"""Maximum pages of a level; a larger one is split by next character."""

RowsUnder = Callable[[str], int | None]
"""The number of objects under a prefix in an earlier inventory, or None if unknown."""


@dataclass(frozen=True, slots=True)
class ShardBounds:
    """The limits of sharding a source; see docs/configuration.md."""

    depth: int = 1
    max_shards: int = 256
    min_objects: int = 0
    split_objects: int = 5_000_000


@dataclass(frozen=True, slots=True)
class _Level:
    folders: list[str]
    is_whole: bool


class PrefixSearch:
    """A search for shards that goes on step by step. It sets `lister.profile`.

    Args:
        lister: The bucket.
        bounds: The limits of sharding.
        rows_under: Row counts of an earlier inventory, as for `discover`.
        position: Where it begins or continues.
        stats: Counts its requests.

    Attributes:
        stats: Its requests.
    """

    def __init__(
        self,
        lister: PageSource,
        bounds: ShardBounds,
        rows_under: RowsUnder,
        position: SearchPosition,
        stats: RequestStats,
    ) -> None:
        lister.profile = position.profile
        self.stats = stats
        self._lister = lister
        self._bounds = bounds
        self._rows_under = rows_under
        self._profile = position.profile
        self._key_order = position.key_order
        self._levels = list(position.levels)
        self._found = position.found
        self._listed: dict[str, _Level] = {}

    @property
    def position(self) -> SearchPosition:
        """Where it stands; another search can continue there."""
        return SearchPosition(tuple(self._levels), self._profile, self._key_order, self._found)

    @property
    def is_done(self) -> bool:
        """Whether all prefixes were searched."""
        return not self._levels

    def step(self) -> str | None:
        """Search on by one child, or by one character of a split; return the shard found, if any.

        A step sends the requests of at most one level: up to `LEVEL_PAGES`, and a few that
        determine the key order. A search that continues lists the levels under way again.

        Raises:
            TooManyShards: More than `bounds.max_shards` prefixes were found.
            NamesMisread: The names have another encoding than the profile says; the position is
                of no use then.
            S3Error: A request failed permanently.
        """
        level = self._levels[-1]
        if level.split is None:
            listed = self._listed.get(level.prefix) or self._list_level(level.prefix)
            self._listed[level.prefix] = listed
            # In directory order StartAfter is not reliable: the level is not split.
            if not listed.is_whole and self._key_order is not KeyOrder.DIRECTORY:
                self._levels[-1] = replace(level, split=CharacterSplit(level.prefix))
                return None
            children = listed.folders if listed.is_whole else []
        elif not level.split.is_complete:
            self._levels[-1] = replace(level, split=self._split_further(level.split))
            return None
        else:
            children = level.split.children
        at = bisect_right(children, level.after)
        return self._search(level, children[at]) if at < len(children) else self._close(level)

    def determine_order(self, prefix: str) -> None:
        """List the level of a prefix to determine the key order.

        Raises:
            S3Error: A request failed permanently.
        """
        self._list_level(prefix)

    def _search(self, level: OpenLevel, child: str) -> str | None:
        """Search a child: it is left out, opened, or a shard."""
        rows = self._rows_under(child)
        if rows is not None and rows < self._bounds.min_objects:
            self._levels[-1] = replace(level, after=child)
            return None
        is_large = rows is not None and rows > self._bounds.split_objects
        depth = max(level.depth - 1, 1 if is_large else 0)
        if depth > 0:
            self._levels.append(OpenLevel(child, depth))
            return None
        return self._add(child)

    def _close(self, level: OpenLevel) -> str | None:
        """Return to the level above; a prefix without shards within it is one itself."""
        self._levels.pop()
        self._listed.pop(level.prefix, None)
        if not self._levels:
            return None
        if not level.found:
            return self._add(level.prefix)
        above = self._levels[-1]
        found = above.found + level.found
        self._levels[-1] = replace(above, after=level.prefix, found=found)
        return None

    def _add(self, shard: str) -> str:
        """Count a child of the last level as a shard."""
        level = self._levels[-1]
        self._levels[-1] = replace(level, after=shard, found=level.found + 1)
        self._found += 1
        if self._found > self._bounds.max_shards:
            raise TooManyShards(
                f"{self._lister.bucket_config.display_name}: more than {self._bounds.max_shards} "
                f"prefixes under {self._levels[0].prefix!r} would be shards; lower shards.depth, "
                "raise shards.max_shards, or set shards.min_objects so that small ones share one"
            )
        return shard

    def _list_level(self, prefix: str) -> _Level:
        """The folders directly under `prefix`, from up to `LEVEL_PAGES` pages."""
        keys: list[str] = []
        folders: list[str] = []
        token: str | None = None
        last = after = ""
        for _ in range(LEVEL_PAGES):
            request = PageRequest(prefix, after, token, delimiter=DELIMITER)
            page = page_with_names(self._lister, request, self.stats)
            groups = [page.objects.column("key").to_pylist(), list(page.common_prefixes)]
            names = groups[0] + groups[1]
            if any(group != sorted(group) for group in groups) or min(names, default=last) < last:
                self._set_order(KeyOrder.DIRECTORY)
            last = max(names, default=last)
            keys += groups[0]
            folders += groups[1]
            if not page.is_truncated:
                self._probe_order(keys, folders)
                return _Level(sorted(set(folders)), is_whole=True)
            # Without a usable token, continue after the last name.
            before = token, after
            after = ""
            if page.next_token is None:
                after = prefix_upper_bound(last) if last in page.common_prefixes else last
            if (page.next_token, after) == before:
                raise ListingStuck(
                    f"{self._lister.bucket_config.display_name}: the store repeats the "
                    f"continuation token {token!r}"
                )
            token = page.next_token
        self._probe_order(keys, folders)
        return _Level([], is_whole=False)

    def _probe_order(self, keys: list[str], folders: list[str]) -> None:
        """Determine the key order from two siblings that both orders sort differently.

        Such a pair is `a-b` and a folder `a/`: in byte order `a-b` comes first. If there is no such
        pair, both orders are equal.
        """
        if self._key_order is None and (self._lister.server or "").startswith(DIRECTORY_SERVERS):
            self._set_order(KeyOrder.DIRECTORY)
        for _name, folder in telling_pairs([*keys, *folders], folders):
            if self._key_order is not None:
                return
            bare = folder.removesuffix(DELIMITER)
            # Two keys, as the bare name itself may be an object.
            page = self._lister.list_page_sync(PageRequest(bare, max_keys=2), self.stats)
            listed = [key for key in page.objects.column("key").to_pylist() if key != bare]
            if listed:
                misplaced = listed[0].startswith(folder)
                self._set_order(KeyOrder.DIRECTORY if misplaced else KeyOrder.BYTES)

    def _set_order(self, order: KeyOrder) -> None:
        self._key_order = self._key_order or order

    def _split_further(self, split: CharacterSplit) -> CharacterSplit:
        """Find the next character after the common prefix of all keys, with one request.

        `bounds.max_shards` limits the number of characters.
        """
        request = PageRequest(split.prefix, split.after, max_keys=1)
        page = self._lister.list_page_sync(request, self.stats)
        if not page.objects.num_rows:
            return _completed(split)
        key: str = page.objects.column("key")[0].as_py()
        if key <= split.after or not key.startswith(split.prefix):
            # The store does not list in byte order; a parallel scan would fail.
            self._set_order(KeyOrder.DIRECTORY)
            return CharacterSplit(split.prefix, is_complete=True)
        if key == split.prefix:
            return replace(split, after=key)
        character = key[len(split.prefix)]
        if character <= split.characters[-1:]:
            # The short StartAfter is less than the upper bound: use the bound itself.
            return replace(split, after=prefix_upper_bound(split.children[-1]))
        bound = prefix_upper_bound(split.prefix + character)
        after = KeyRange(bound, bound).start_after
        grown = replace(split, characters=split.characters + character, after=after)
        is_full = len(grown.characters) > self._bounds.max_shards
        return _completed(grown) if is_full else grown


def _completed(split: CharacterSplit) -> CharacterSplit:
    """The split without further characters; a single one belongs to the common prefix."""
    common = split.prefix + split.characters
    if len(split.characters) != 1 or len(common.encode()) == MAX_KEY_BYTES:
        return replace(split, is_complete=True)
    return CharacterSplit(common)
