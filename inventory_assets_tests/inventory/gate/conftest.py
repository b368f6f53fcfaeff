from pathlib import Path

import pytest

from inventory_assets.inventory.storage import local_store
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import Store
from inventory_assets_tests.external_servers import Endpoint
from inventory_assets_tests.inventory.stores import (
    bucket_store,
    ignore_conditions,
    new_bucket_store,
)


@pytest.fixture(params=["folder", "bucket", "bucket without conditional writes"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of each kind: what the gate does must not depend on it."""
    if request.param == "folder":
        monkeypatch.setattr(local_store, "_flush", lambda _path: None)
        return LocalStore(tmp_path / "store")
    moto: Endpoint = request.getfixturevalue("moto")
    if request.param == "bucket":
        return bucket_store(moto)
    store = new_bucket_store(moto)
    ignore_conditions(store)
    return store
