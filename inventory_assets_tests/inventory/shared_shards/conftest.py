from collections.abc import Iterator

import pytest

from inventory_assets.inventory.shared_listing import claim_keeper, range_worker
from inventory_assets_tests.inventory.killed_listings import small_files


@pytest.fixture(autouse=True)
def small() -> Iterator[None]:
    with small_files():
        yield


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Participants give shares away at once."""
    monkeypatch.setattr(range_worker, "ESTIMATE_SECONDS", 0.02)
    monkeypatch.setattr(range_worker, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(claim_keeper, "CHECK_SECONDS", 0.01)
