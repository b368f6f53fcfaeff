"""Ranges of few records, so that a small inventory has many."""

import pytest

from inventory_assets.inventory.verification import targets
from inventory_assets_tests.inventory.verification.verified import RECORDS


@pytest.fixture(autouse=True, scope="package")
def small_ranges() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "RECORDS_PER_RANGE", RECORDS)
        yield
