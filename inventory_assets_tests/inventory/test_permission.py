"""A store asks for permission before it writes a record."""

from collections.abc import Callable
from pathlib import Path

import pytest

from inventory_assets.inventory.errors import RunEnded
from inventory_assets.inventory.storage.bucket_store import BucketStore
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import NO_ETAG, Permission, Store
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.stores import ignore_conditions

KEY = "bucket/source/record.json"


@pytest.fixture(params=["folder", "bucket", "bucket without conditions"])
def make_store(
    request: pytest.FixtureRequest, tmp_path: Path, ministack: Endpoint
) -> Callable[[Permission], Store]:
    """Makes one of the stores, which asks for the permission given."""
    if request.param == "folder":
        return lambda permission: LocalStore(tmp_path, permission)
    config = ministack.bucket_config(ministack.make_bucket("permitted"))

    def make(permission: Permission) -> Store:
        store = BucketStore(config, tmp_path.name, permission)
        if request.param != "bucket":
            ignore_conditions(store)
        return store

    return make


def refuse() -> None:
    raise RunEnded("the run has ended")


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.publish(KEY, b"late"),
        lambda store: store.put_if_match(KEY, b"late", NO_ETAG),
    ],
    ids=["publish", "put_if_match"],
)
def test_without_permission_nothing_is_written(
    make_store: Callable[[Permission], Store], write: Callable[[Store], None]
) -> None:
    store = make_store(refuse)
    with pytest.raises(RunEnded):
        write(store)
    assert store.read(KEY) is None


def test_permission_is_asked_for_each_record(
    make_store: Callable[[Permission], Store],
) -> None:
    asked: list[None] = []
    store = make_store(lambda: asked.append(None))
    etag = store.put_if_match(KEY, b"one", NO_ETAG)
    store.put_if_match(KEY, b"two", etag)
    store.publish(KEY, b"three")
    assert len(asked) == 3
    assert store.read(KEY) == b"three"
