"""Random stories of odd stores: habits, keys, kills, concurrency, and changing objects."""

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random

from hypothesis import strategies as st

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.inventory.listing.shard_lister import ShardLister
from inventory_assets.inventory.listing.snapshot_builder import ShardRequest
from inventory_assets.inventory.manifest.snapshot import Snapshot
from inventory_assets.inventory.parts.part import read_records
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.concurrency.policies import PolicyName
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.keyspace.key_order import KeyOrder
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard, make_shard
from inventory_assets.scan.prefix_discovery import discover
from inventory_assets.scan.prefix_search import ShardBounds
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.samples import DAY, NOW
from inventory_assets_tests.key_spaces import key_sets
from inventory_assets_tests.stores.habits import (
    Busy,
    Contradiction,
    EarlyEnd,
    Echo,
    Encoding,
    Habits,
    Order,
    StartAfter,
    Times,
    Tokens,
)
from inventory_assets_tests.stores.holdings import StoredObject, held, listed
from inventory_assets_tests.stores.listing_runs import set_aside
from inventory_assets_tests.stores.odd_network import OddNetwork
from inventory_assets_tests.stores.odd_pages import BUCKET
from inventory_assets_tests.stores.odd_store import OddStore

MODEL = Layout(BUCKET, "source")

MOST_STEPS = 20_000
"""After so many requests and writes a listing has not ended, and never will."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to a bucket while it is listed.

    Attributes:
        habits: The store's.
        keys: Of all objects that will ever be.
        seed: Decides which of them are there, and what happens when.
        prefix: What is listed.
        in_flight: Requests in flight at most.
        kills: How much each process does before it is killed.
        churn: How likely an object comes or goes before an answer.
        by_shards: Whether shards are listed, as the assets do; otherwise a folder, as the command.
        heads: What the shards are cut out by.
    """

    habits: Habits
    keys: list[str]
    seed: int
    prefix: str
    in_flight: int
    kills: list[int]
    churn: float
    by_shards: bool
    heads: list[str]


@st.composite
def habits(draw: st.DrawFn) -> Habits:
    """One to three habits, and small pages."""
    page_keys = draw(st.integers(1, 12))
    kinds = draw(st.sets(st.sampled_from(sorted(_KINDS)), min_size=1, max_size=3))
    found = Habits(page_keys=page_keys)
    for kind in sorted(kinds):
        found |= draw(_KINDS[kind])
    # A response without echoed parameters cannot be matched with its request.
    if found.stale and found.echo is Echo.NONE:
        found = Habits(**{**found.unusual, "echo": Echo.AS_KEYS})
    # Without StartAfter, an end that is reported twice is accepted.
    if found.early_end and found.start_after is StartAfter.IGNORED:
        found = Habits(**{**found.unusual, "early_end": replace(found.early_end, times=1)})
    return found


def _each(name: str, values: list[object]) -> st.SearchStrategy[Habits]:
    return st.sampled_from([Habits(**{name: value}) for value in values])  # type: ignore[arg-type]


_KINDS: dict[str, st.SearchStrategy[Habits]] = {
    "order": st.one_of(
        _each("order", [each for each in Order if each is not Order.BYTES]),
        st.integers(1, 3).map(lambda level: Habits(order=Order.DIRECTORY, order_from=level)),
    ),
    "start after": _each("start_after", [*StartAfter][1:]),
    # A carriage return that arrives as a newline is a name like any other.
    "encoding": _each(
        "encoding", [each for each in Encoding if each not in (Encoding.DECLARED, Encoding.RAW)]
    ),
    "echo": _each("echo", [Echo.PLAIN, Echo.NONE]),
    "tokens": _each("tokens", [each for each in Tokens if each is not Tokens.TRUE]),
    "early end": st.builds(
        lambda after, chance, times: Habits(early_end=EarlyEnd(after, chance, times)),
        st.integers(0, 40),
        st.sampled_from([0.05, 0.3, 1.0]),
        st.sampled_from([None, 1, 3]),
    ),
    "empty pages": _each("empty_pages", [1, 2]),
    "stale": st.builds(
        lambda stale, times: Habits(stale=stale, stale_times=times),
        st.sampled_from([0.02, 0.1, 0.3]),
        st.integers(1, 5),
    ),
    "contradiction": st.builds(
        lambda kind, times: Habits(contradiction=kind, contradicted=times),
        st.sampled_from(Contradiction),
        st.sampled_from([1, 3, 10**9]),
    ),
    "times": _each("times", [Times.SECONDS, Times.OFFSET, Times.RFC_1123, Times.NO_ZONE]),
    "markers": _each(
        "markers_lack", [frozenset({"ETag"}), frozenset({"ETag", "LastModified", "Size"})]
    ),
    "busy": st.builds(
        lambda begins, count: Habits(busy=(Busy(begins, count),)),
        st.integers(0, 30),
        st.integers(1, 5),
    ),
}


@st.composite
def stories(draw: st.DrawFn, most: int = 80) -> Story:
    """Any story of at most so many keys."""
    keys = [key for key in draw(key_sets(most)) if key]
    heads = sorted({key[:size] for key in keys for size in (1, 2, 4)} | {"a"})
    found = draw(habits())
    # A position is no place in a bucket that changes: such a store cannot be listed rightly.
    churn = draw(st.sampled_from([0.0, 0.0, 0.1, 0.3]))
    return Story(
        found,
        keys,
        seed=draw(st.integers(0, 2**32)),
        prefix=draw(st.sampled_from(["", "", "", *heads])),
        in_flight=draw(st.integers(1, 12)),
        kills=draw(st.lists(st.integers(0, 60), max_size=3)),
        churn=0.0 if found.tokens is Tokens.INDEX else churn,
        by_shards=draw(st.booleans()),
        heads=draw(st.lists(st.sampled_from(heads), max_size=2)),
    )


@dataclass(slots=True)
class Churn:
    """Objects that come and go.

    Attributes:
        there: Keys that are there now.
        gone: Keys that are not.
        chance: How likely one of them changes before an answer.
        chances: Decides it.
        ever: Keys that were there at any time.
        throughout: Keys that were there all the time.
    """

    there: set[str]
    gone: set[str]
    chance: float
    chances: Random
    ever: set[str] = field(init=False)
    throughout: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ever, self.throughout = set(self.there), set(self.there)

    def __call__(self, store: OddStore) -> None:
        if self.chances.random() >= self.chance:
            return
        if self.gone and (not self.there or self.chances.random() < 0.5):
            key = self.chances.choice(sorted(self.gone))
            self.gone.remove(key)
            self.there.add(key)
            self.ever.add(key)
        elif self.there:
            key = self.chances.choice(sorted(self.there))
            self.there.remove(key)
            self.gone.add(key)
            self.throughout.discard(key)
        store.hold(self.holdings())

    def holdings(self) -> list[StoredObject]:
        return [held(key, len(key)) for key in self.there]


def play(story: Story, folder: Path) -> str:
    """Play a story to its end, and hold what was listed against the truth.

    Returns:
        "exact", or the name of the error by which the listing was refused.

    Raises:
        AssertionError: The inventory is wrong.
    """
    chances = Random(story.seed)  # noqa: S311 - a repeatable test
    there = {key for key in story.keys if not story.churn or chances.random() < 0.8}
    churn = Churn(there, {*story.keys} - there, story.churn, chances)
    store = OddStore(churn.holdings(), story.habits, story.seed, churn)
    for life in map(Life, [*story.kills, MOST_STEPS]):
        bucket_config = BucketConfig(BUCKET, max_in_flight=story.in_flight, policy=PolicyName.FIXED)
        lister = ListClient(bucket_config, transport=OddNetwork(store, life))
        try:
            keys, unread = (_by_shards if story.by_shards else _into_folder)(
                story, lister, life, folder
            )
        except Killed:
            continue
        except InventoryError as error:
            return type(error).__name__
        _compare(story, churn, keys, unread)
        return "exact"
    raise AssertionError(f"it never ends: {story}")


def _into_folder(
    story: Story, lister: ListClient, _life: Life, folder: Path
) -> tuple[list[str], int]:
    listing = list_into_folder(lister, story.prefix, folder)
    return [row[0] for row in listed(folder)], set_aside(listing)


def _by_shards(story: Story, lister: ListClient, life: Life, folder: Path) -> tuple[list[str], int]:
    store = MortalStore(folder, life)
    order = discover(lister, story.prefix, ShardBounds(depth=0)).key_order
    known = order if order is KeyOrder.DIRECTORY else None
    shard_lister = ShardLister(lister, store, MODEL, known, now=lambda: NOW)
    prefixes = sorted({story.prefix, *(story.prefix + head for head in story.heads)})
    shards = [make_shard(prefix, prefixes) for prefix in prefixes]
    found: dict[Shard, Snapshot] = {}
    for each, result in shard_lister.list_shards([ShardRequest(DAY, shard) for shard in shards]):
        if not isinstance(result, Snapshot):
            raise result
        found[each.shard] = result
    whole = [KeyRange.of_prefix("")]
    keys: list[str] = []
    for shard, snapshot in found.items():
        own = [
            key
            for records in read_records(store, snapshot.parts, whole)
            for key in records.column("key").to_pylist()
        ]
        assert all(map(shard.covers, own))
        assert all(left < right for left, right in pairwise(own))
        keys += own
    return sorted(keys), sum(map(set_aside, found.values()))


def _compare(story: Story, churn: Churn, keys: list[str], unread: int) -> None:
    assert all(left < right for left, right in pairwise(keys)), "a key is doubled, or out of order"
    found = set(keys)
    lost = {key for key in churn.throughout if key.startswith(story.prefix)} - found
    assert len(lost) <= unread, f"lost: {json.dumps(sorted(lost))}"
    made_up = found - churn.ever
    assert not made_up, f"made up: {json.dumps(sorted(made_up))}"
