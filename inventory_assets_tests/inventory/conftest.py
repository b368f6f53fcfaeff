"""Fixtures of the tests of stored results."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory_assets.inventory import store as store_module
from inventory_assets.inventory.store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="module")
def roomy_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStore]:
    """A store for the many examples of a property: nothing is flushed to the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_flush", lambda _path: None)
        yield LocalStore(tmp_path_factory.mktemp("store"))
