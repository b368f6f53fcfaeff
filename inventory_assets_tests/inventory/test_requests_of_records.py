"""The requests that the publication of a record sends to a bucket of results."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from inventory_assets.inventory.errors import ConflictError, OtherFormat
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.manifest.snapshot import publish_snapshot, snapshot_etag
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.store import NO_ETAG
from inventory_assets.s3.request_stats import RequestStats
from inventory_assets.scan.keyspace.key_range import KeyRange
from inventory_assets.scan.keyspace.shard import Shard
from inventory_assets_tests.fakes.results_server import Habits, ResultsServer
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, listed, snapshot_of

SHARD = Shard("a/")
KEY = LAYOUT.snapshot(DAY, SHARD.prefix)


@pytest.fixture
def server() -> Iterator[ResultsServer]:
    with ResultsServer(Habits()) as server:
        yield server


@pytest.fixture
def store(server: ResultsServer) -> BucketStore:
    store = BucketStore(server.bucket_config)
    assert store.conditional_writes.are_honoured  # the probe of the store, once for each process
    return store


def requests_of(server: ResultsServer) -> Counter[str]:
    """The methods of the requests since this was asked last; a GET of no key is a LIST."""
    found = Counter(
        "LIST" if method.startswith("GET") and not key else method for method, key, _ in server.seen
    )
    server.seen.clear()
    return found


def test_a_first_snapshot_of_a_date_is_not_read_before_it_is_published(
    server: ResultsServer, store: BucketStore
) -> None:
    snapshot = snapshot_of(store, SHARD, listed(["a/1"]), DAY)
    etag = snapshot_etag(store, LAYOUT, DAY, SHARD.prefix)
    assert etag == NO_ETAG
    requests_of(server)
    publish_snapshot(store, LAYOUT, snapshot, etag)
    assert requests_of(server) == {"LIST": 1, "HEAD": 1, "PUT": 1}
    publish_snapshot(store, LAYOUT, replace(snapshot, requests=9))
    assert requests_of(server) == {"LIST": 1, "HEAD": 2, "GET": 1, "PUT": 1}


def test_a_checkpoint_is_not_read_before_it_is_published(
    server: ResultsServer, store: BucketStore
) -> None:
    snapshot = snapshot_of(store, SHARD, listed(["a/1"]), DAY)
    now = NOW
    log = CheckpointLog(store, LAYOUT.checkpoints(DAY), "listing", "same", lambda: now)
    requests_of(server)
    now += timedelta(minutes=1)
    log.record_completed(KeyRange.of_prefix("a/"), snapshot.parts, RequestStats())
    assert requests_of(server) == {"LIST": 1, "PUT": 1}


def test_a_record_of_newer_code_is_not_replaced(store: BucketStore) -> None:
    snapshot = snapshot_of(store, SHARD, listed(["a/1"]), DAY)
    store.publish(KEY, b'{"format": 99}')
    for etag in (None, snapshot_etag(store, LAYOUT, DAY, SHARD.prefix)):
        with pytest.raises(OtherFormat, match="99"):
            publish_snapshot(store, LAYOUT, snapshot, etag)
    assert store.read(KEY) == b'{"format": 99}'


def test_nor_one_that_came_while_a_first_listing_ran(store: BucketStore) -> None:
    snapshot = snapshot_of(store, SHARD, listed(["a/1"]), DAY)
    store.publish(KEY, b'{"format": 99}')
    with pytest.raises(ConflictError):
        publish_snapshot(store, LAYOUT, snapshot, NO_ETAG)
    assert store.read(KEY) == b'{"format": 99}'
