"""Find the prefixes that are worth a shard of their own, and the order in which the store lists.

Levels are listed with the delimiter to a depth. A level that is too large for that (flat keys, or a
great many folders) is split by next character instead, so that hashed key spaces shard too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inventory_assets.s3.list_client import ListClient, RequestStats
from inventory_assets.s3.page_request import PageRequest
from inventory_assets.s3.store_profile import AWS, KeyEncoding, StartAfter, StoreProfile
from inventory_assets.scan.errors import ListingStuck, NamesMisread, TooManyShards
from inventory_assets.scan.keyspace.key_order import DIRECTORY_SERVERS, KeyOrder
from inventory_assets.scan.keyspace.key_range import (
    DELIMITER,
    MAX_KEY_BYTES,
    KeyRange,
    prefix_upper_bound,
)
from inventory_assets.scan.store_probe import corrected, page_with_names, profile_store
from inventory_assets.scan.validation.order_proof import telling_pairs

LEVEL_PAGES = 20
"""Pages (of 1,000 keys and folders) that a level may have before it is split by next character."""

RowsUnder = Callable[[str], int | None]
"""How many objects a prefix held when it was last counted; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Discovery:
    """What discovery found.

    Attributes:
        prefixes: The prefixes to be shards, in order, none within another.
        key_order: How the store lists.
        requests: Requests spent.
        profile: How the store lists besides.
    """

    prefixes: tuple[str, ...]
    key_order: KeyOrder
    requests: int
    profile: StoreProfile = AWS


@dataclass(frozen=True, slots=True)
class ShardBounds:
    """What bounds the sharding of a source; see docs/configuration.md."""

    depth: int = 1
    max_shards: int = 256
    min_objects: int = 0
    split_objects: int = 5_000_000


def discover(
    lister: ListClient,
    prefix: str,
    bounds: ShardBounds,
    key_order: KeyOrder | None = None,
    rows_under: RowsUnder = lambda _prefix: None,
) -> Discovery:
    """Find the shards of the keys under `prefix`, and how the store lists.

    The profile found is the lister's from then on.

    Args:
        lister: The bucket.
        prefix: The source's prefix.
        bounds: How deep and how many.
        key_order: The order if it is known; None to find out.
        rows_under: Row counts of an earlier inventory, which move the depth: a prefix with more
            than `bounds.split_objects` is split further, one with fewer than
            `bounds.min_objects` stays in the remainder.

    Raises:
        TooManyShards: More than `bounds.max_shards` prefixes were found.
        S3Error: A request failed for good.
    """
    return _Discoverer(lister, bounds, rows_under, key_order).run(prefix)


@dataclass(frozen=True, slots=True)
class _Level:
    folders: list[str]
    is_whole: bool


class _Discoverer:
    def __init__(
        self,
        lister: ListClient,
        bounds: ShardBounds,
        rows_under: RowsUnder,
        key_order: KeyOrder | None,
    ) -> None:
        self._lister = lister
        self._bounds = bounds
        self._rows_under = rows_under
        self._tally = RequestStats()
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
            profile = profile_store(self._lister, prefix, self._tally)
            self._lister.profile = profile
        depth = self._bounds.depth
        if profile.start_after is StartAfter.IGNORED:
            depth = 0  # what is left beside shards could not be asked for
        found = self._within(prefix, depth)
        if self._key_order is None and depth <= 0:
            self._level(prefix)  # no level was listed yet
        order = self._key_order or KeyOrder.BYTES
        return Discovery(tuple(found), order, self._tally.requests, profile)

    def _within(self, prefix: str, depth: int) -> list[str]:
        """The shards within `prefix`, `depth` levels down; empty where it has no levels."""
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
                    f"{self._lister.connection.display_name}: more than {self._bounds.max_shards} "
                    f"prefixes under {prefix!r} would be shards; lower shards.depth, raise "
                    "shards.max_shards, or set shards.min_objects so that small ones share one"
                )
        return shards

    def _children(self, prefix: str) -> list[str]:
        level = self._level(prefix)
        if level.is_whole:
            return sorted(set(level.folders))
        # In directory order StartAfter misleads: such a level stays in one piece.
        return [] if self._key_order is KeyOrder.DIRECTORY else self._split_flat(prefix)

    def _level(self, prefix: str) -> "_Level":
        """The keys and folders right under `prefix`, up to `LEVEL_PAGES` pages of them."""
        keys: list[str] = []
        folders: list[str] = []
        token: str | None = None
        last = after = ""
        for _ in range(LEVEL_PAGES):
            request = PageRequest(prefix, after, token, delimiter=DELIMITER)
            page = page_with_names(self._lister, request, self._tally)
            groups = [page.objects.column("key").to_pylist(), list(page.common_prefixes)]
            names = groups[0] + groups[1]
            if any(group != sorted(group) for group in groups) or min(names, default=last) < last:
                self._settle(KeyOrder.DIRECTORY)
            last = max(names, default=last)
            keys += groups[0]
            folders += groups[1]
            if not page.is_truncated:
                self._probe_order(keys, folders)
                return _Level(folders, is_whole=True)
            # Where no token can be sent back, it goes on behind the last name.
            before = token, after
            after = ""
            if page.next_token is None:
                after = prefix_upper_bound(last) if last in page.common_prefixes else last
            if (page.next_token, after) == before:
                raise ListingStuck(
                    f"{self._lister.connection.display_name}: the store repeats the "
                    "continuation token "
                    f"{token!r}"
                )
            token = page.next_token
        self._probe_order(keys, folders)
        return _Level(folders, is_whole=False)

    def _probe_order(self, keys: list[str], folders: list[str]) -> None:
        """Ask which of two siblings the store lists first, if some two tell the orders apart.

        `a-b` and a folder `a/` do: in byte order `a-b` comes first. Where no such pair exists,
        both orders are the same.
        """
        if self._key_order is None and (self._lister.server or "").startswith(DIRECTORY_SERVERS):
            self._settle(KeyOrder.DIRECTORY)
        for _name, folder in telling_pairs([*keys, *folders], folders):
            if self._key_order is not None:
                return
            bare = folder.removesuffix(DELIMITER)
            # Two keys, as an object may bear the bare name itself.
            page = self._lister.list_page_sync(PageRequest(bare, max_keys=2), self._tally)
            listed = [key for key in page.objects.column("key").to_pylist() if key != bare]
            if listed:
                misplaced = listed[0].startswith(folder)
                self._settle(KeyOrder.DIRECTORY if misplaced else KeyOrder.BYTES)

    def _settle(self, order: KeyOrder) -> None:
        self._key_order = self._key_order or order

    def _split_flat(self, prefix: str) -> list[str]:
        """Split by next character, below the keys' common start.

        A character costs one request for one key; `bounds.max_shards` bounds them.
        """
        while True:
            children: list[str] = []
            after = ""
            while len(children) <= self._bounds.max_shards:
                page = self._lister.list_page_sync(
                    PageRequest(prefix, after, max_keys=1), self._tally
                )
                if not page.objects.num_rows:
                    break
                key: str = page.objects.column("key")[0].as_py()
                if key <= after or not key.startswith(prefix):
                    # StartAfter misleads here too; a walk in key order would notice.
                    self._settle(KeyOrder.DIRECTORY)
                    return []
                if key == prefix:
                    after = key
                    continue
                child = key[: len(prefix) + 1]
                if children and child <= children[-1]:
                    after = prefix_upper_bound(
                        children[-1]
                    )  # the short StartAfter let rare keys through
                    continue
                children.append(child)
                after = KeyRange(prefix_upper_bound(child), prefix_upper_bound(child)).start_after
            if len(children) != 1 or len(children[0].encode()) == MAX_KEY_BYTES:
                return children
            prefix = children[0]
