"""Find prefixes that should be shards, and the store's key order and profile."""

from dataclasses import dataclass

from inventory_assets.s3.page_source import PageSource
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.s3.store_profile import AWS, KeyEncoding, StoreProfile
from inventory_assets.scan.errors import NamesMisread
from inventory_assets.scan.key_encoding import corrected
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.prefix_search import PrefixSearch, RowsUnder, ShardBounds
from inventory_assets.scan.search_position import SearchPosition
from inventory_assets.scan.store_probe import profile_store


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
    stats = RequestStats()
    for _ in KeyEncoding:
        try:
            return _discover(lister, prefix, bounds, key_order, rows_under, stats)
        except NamesMisread as error:
            lister.profile = corrected(lister.profile, error)
    return _discover(lister, prefix, bounds, key_order, rows_under, stats)


def _discover(
    lister: PageSource,
    prefix: str,
    bounds: ShardBounds,
    key_order: KeyOrder | None,
    rows_under: RowsUnder,
    stats: RequestStats,
) -> Discovery:
    profile = lister.profile
    if key_order is not KeyOrder.DIRECTORY:
        profile = profile_store(lister, prefix, stats)
    position = SearchPosition.start(prefix, bounds.depth, profile, key_order)
    search = PrefixSearch(lister, bounds, rows_under, position, stats)
    found: list[str] = []
    if not position.levels and key_order is None:
        search.determine_order(prefix)
    while not search.is_done:
        shard = search.step()
        if shard is not None:
            found.append(shard)
    order = search.position.key_order or KeyOrder.BYTES
    return Discovery(tuple(found), order, stats.requests, profile)
