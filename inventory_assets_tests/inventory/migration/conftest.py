from dataclasses import replace
from pathlib import Path

import pytest

from inventory_assets_tests.upgrades.kept_stores import EVERY_KIND, KeptStore, kept_store


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptStore:
    """A store with every kind of record."""
    return kept_store(EVERY_KIND, tmp_path_factory.mktemp("kept") / "store")


@pytest.fixture
def source(tmp_path: Path, kept: KeptStore) -> KeptStore:
    """A copy of it, which a test may change."""
    return replace(kept_store(EVERY_KIND, tmp_path / "source"), sources=kept.sources)
