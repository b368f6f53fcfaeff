"""Find prefixes that should be shards, and the store's key order and profile.

Levels are listed with a delimiter down to a depth. A level that is too large (flat keys, or very
many folders) is split by next character instead, so that hashed key spaces get shards, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS, KeyEncoding, StartAfter, StoreProfile
from inventory_assets.scan.errors import ListingStuck, NamesMisread, TooManyShards
from inventory_assets.scan.key_encoding import corrected, page_with_names
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS, KeyOrder
from inventory_assets.scan.keyspace.key_range import (
    DELIMITER,
    MAX_KEY_BYTES,
    KeyRange,
    prefix_upper_bound,
)
from inventory_assets.scan.store_probe import profile_store
from inventory_assets.scan.validation.order_proof import telling_pairs

LEVEL_PAGES = 20
"""Maximum pages of a level; a larger one is split by next character."""

RowsUnder = Callable[[str], int | None]
"""The number of objects under a prefix in an earlier inventory, or None if unknown."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """The result of discovery.

    Attributes:
        prefixes: The prefixes that should be shards, in order, none within another.
        key_order: The order in which the store lists.
        requests: The number of requests sent.
        profile: The store's profile.
    """

    prefixes: tuple[str, ...]
    key_order: KeyOrder
    requests: int
    profile: StoreProfile = AWS


@dataclass(frozen=True, slots=True)
class ShardBounds:
    """The limits of sharding a source; see docs/configuration.md."""

    depth: int = 1
    max_shards: int = 256
    min_objects: int = 0
    split_objects: int = 5_000_000


def discover(
    lister: PageSource,
    prefix: str,
    bounds: ShardBounds,
    key_order: KeyOrder | None = None,
    rows_under: RowsUnder = lambda _prefix: None,
) -> Discovery:
    """Find the shards under `prefix`, and how the store lists.

    Sets `lister.profile`.

    Args:
        lister: The bucket.
        prefix: The source's prefix.
        bounds: The limits of sharding.
        key_order: The order, if known; None to determine it.
        rows_under: Row counts of an earlier inventory. A prefix with more than
            `bounds.split_objects` is split further; one with fewer than `bounds.min_objects` stays
            in the remainder.

    Raises:
        TooManyShards: More than `bounds.max_shards` prefixes were found.
        S3Error: A request failed permanently.
    """
    return _Discoverer(lister, bounds, rows_under, key_order).run(prefix)


@dataclass(frozen=True, slots=True)
class _Level:
    folders: list[str]
    is_whole: bool


class _Discoverer:
    def __init__(
        self,
        lister: PageSource,
        bounds: ShardBounds,
        rows_under: RowsUnder,
        key_order: KeyOrder | None,
    ) -> None:
        self._lister = lister
        self._bounds = bounds
        self._rows_under = rows_under
        self._stats = RequestStats()
        self._key_order = key_order

    def run(self, prefix: str) -> Discovery:
        for _ in KeyEncoding:
            try:
                return self._run(prefix)
            except NamesMisread as error:
                self._lister.profile = corrected(self._lister.profile, error)
        return self._run(prefix)

    def _run(self, prefix: str) -> Discovery:
        profile = self._lister.profile
        if self._key_order is not KeyOrder.DIRECTORY:
            profile = profile_store(self._lister, prefix, self._stats)
            self._lister.profile = profile
        depth = self._bounds.depth
        if profile.start_after is StartAfter.IGNORED:
            depth = 0  # the remainder could not be listed without StartAfter
        found = self._within(prefix, depth)
        if self._key_order is None and depth <= 0:
            self._level(prefix)  # no level was listed yet
        order = self._key_order or KeyOrder.BYTES
        return Discovery(tuple(found), order, self._stats.requests, profile)

    def _within(self, prefix: str, depth: int) -> list[str]:
        """The shards within `prefix`, down to `depth` levels; empty if there are no folders."""
        if depth <= 0:
            return []
        shards: list[str] = []
        for child in self._children(prefix):
            rows = self._rows_under(child)
            if rows is not None and rows < self._bounds.min_objects:
                continue
            is_large = rows is not None and rows > self._bounds.split_objects
            deeper = self._within(child, max(depth - 1, 1 if is_large else 0))
            shards += deeper or [child]
            if len(shards) > self._bounds.max_shards:
                raise TooManyShards(
                    f"{self._lister.bucket_config.display_name}: more than "
                    f"{self._bounds.max_shards} prefixes under {prefix!r} would be shards; lower "
                    "shards.depth, raise shards.max_shards, or set shards.min_objects so that "
                    "small ones share one"
                )
        return shards

    def _children(self, prefix: str) -> list[str]:
        level = self._level(prefix)
        if level.is_whole:
            return sorted(set(level.folders))
        # In directory order StartAfter is not reliable: the level is not split.
        return [] if self._key_order is KeyOrder.DIRECTORY else self._split_flat(prefix)

    def _level(self, prefix: str) -> "_Level":
        """The folders directly under `prefix`, from up to `LEVEL_PAGES` pages."""
        keys: list[str] = []
        folders: list[str] = []
        token: str | None = None
        last = after = ""
        for _ in range(LEVEL_PAGES):
            request = PageRequest(prefix, after, token, delimiter=DELIMITER)
            page = page_with_names(self._lister, request, self._stats)
            groups = [page.objects.column("key").to_pylist(), list(page.common_prefixes)]
            names = groups[0] + groups[1]
            if any(group != sorted(group) for group in groups) or min(names, default=last) < last:
                self._set_order(KeyOrder.DIRECTORY)
            last = max(names, default=last)
            keys += groups[0]
            folders += groups[1]
            if not page.is_truncated:
                self._probe_order(keys, folders)
                return _Level(folders, is_whole=True)
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
        return _Level(folders, is_whole=False)

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
            page = self._lister.list_page_sync(PageRequest(bare, max_keys=2), self._stats)
            listed = [key for key in page.objects.column("key").to_pylist() if key != bare]
            if listed:
                misplaced = listed[0].startswith(folder)
                self._set_order(KeyOrder.DIRECTORY if misplaced else KeyOrder.BYTES)

    def _set_order(self, order: KeyOrder) -> None:
        self._key_order = self._key_order or order

    def _split_flat(self, prefix: str) -> list[str]:
        """Split by the next character after the common prefix of all keys.

        Each character takes one request for one key; `bounds.max_shards` limits the number.
        """
        while True:
            children: list[str] = []
            after = ""
            while len(children) <= self._bounds.max_shards:
                page = self._lister.list_page_sync(
                    PageRequest(prefix, after, max_keys=1), self._stats
                )
                if not page.objects.num_rows:
                    break
                key: str = page.objects.column("key")[0].as_py()
                if key <= after or not key.startswith(prefix):
                    # The store does not list in byte order; a parallel scan would fail.
                    self._set_order(KeyOrder.DIRECTORY)
                    return []
                if key == prefix:
                    after = key
                    continue
                child = key[: len(prefix) + 1]
                if children and child <= children[-1]:
                    # The short StartAfter is less than the upper bound: use the bound itself.
                    after = prefix_upper_bound(children[-1])
                    continue
                children.append(child)
                after = KeyRange(prefix_upper_bound(child), prefix_upper_bound(child)).start_after
            if len(children) != 1 or len(children[0].encode()) == MAX_KEY_BYTES:
                return children
            prefix = children[0]
