from collections.abc import Iterator

import pytest

from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.fakes.object_server import ObjectServer
from inventory_assets_tests.inventory.metadata.object_days import Bucket


@pytest.fixture
def bucket(
    store: LocalStore,
    no_aws_environment: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bucket]:
    """An empty bucket, and its server; nothing is flushed to the disk."""
    monkeypatch.setattr(local_store, "_flush", lambda _path: None)
    with ObjectServer() as server:
        yield Bucket(server, store)
