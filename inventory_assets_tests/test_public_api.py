"""The names that `inventory_assets` exports, and what importing them costs."""

import subprocess
import sys

import pytest

import inventory_assets
from inventory_assets.errors import InventoryError
from inventory_assets.inventory.query.dataset import Dataset

_LOADED = """
import sys
import inventory_assets
print(*{"dagster", "polars", "pyarrow", "numpy", "pydantic", "boto3"} & set(sys.modules))
"""


@pytest.mark.parametrize("name", inventory_assets.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(inventory_assets, name).__name__ == name
    assert name in dir(inventory_assets)


def test_every_lazily_loaded_name_is_public() -> None:
    assert sorted(inventory_assets._MODULES) == sorted(inventory_assets.__all__)


def test_public_names_are_the_objects_of_their_modules() -> None:
    assert inventory_assets.Dataset is Dataset
    assert inventory_assets.InventoryError is InventoryError


def test_an_unknown_name_is_refused_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="'inventory_assets' has no attribute 'Datasets'"):
        getattr(inventory_assets, "Datasets")  # noqa: B009


def test_importing_the_package_loads_none_of_its_large_dependencies() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", _LOADED], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
