"""Buckets in memory, for the tests of stores of other versions."""

import pytest

from inventory_assets_tests.assets.world import Buckets


@pytest.fixture
def buckets(monkeypatch: pytest.MonkeyPatch) -> Buckets:
    """Buckets in memory, and faults on the way to any bucket."""
    return Buckets(monkeypatch)
