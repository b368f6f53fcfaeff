"""Complete, sorted, daily inventories of S3 buckets of any size, as Dagster data assets.

The names of `__all__` are the public API, and are imported from here:

>>> from inventory_assets import Dataset
>>> logs = Dataset.at("data/inventory/acme-logs/logs")

Each is loaded when it is first used, so that `import inventory_assets` loads neither Dagster nor
Arrow. Everything else in this package is private and can change in any release.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inventory_assets.components.s3_inventory import S3InventoryComponent
    from inventory_assets.config import Config, load_config
    from inventory_assets.definitions import build_definitions
    from inventory_assets.defs.object_sensor import NewObject, NewObjects, new_objects_sensor
    from inventory_assets.defs.source.context import AssetOptions
    from inventory_assets.errors import InventoryError
    from inventory_assets.inventory.query.change_cursor import ChangeCursor
    from inventory_assets.inventory.query.change_feed import ChangeFeed
    from inventory_assets.inventory.query.dataset import Dataset, connect
    from inventory_assets.inventory.query.dataset_comparison import changes_between
    from inventory_assets.inventory.storage.layout import Layout
    from inventory_assets.wiring.results import open_results

__all__ = [
    "AssetOptions",
    "ChangeCursor",
    "ChangeFeed",
    "Config",
    "Dataset",
    "InventoryError",
    "Layout",
    "NewObject",
    "NewObjects",
    "S3InventoryComponent",
    "build_definitions",
    "changes_between",
    "connect",
    "load_config",
    "new_objects_sensor",
    "open_results",
]

_MODULES = {
    "AssetOptions": "defs.source.context",
    "ChangeCursor": "inventory.query.change_cursor",
    "ChangeFeed": "inventory.query.change_feed",
    "Config": "config",
    "Dataset": "inventory.query.dataset",
    "InventoryError": "errors",
    "Layout": "inventory.storage.layout",
    "S3InventoryComponent": "components.s3_inventory",
    "NewObject": "defs.object_sensor",
    "NewObjects": "defs.object_sensor",
    "build_definitions": "definitions",
    "changes_between": "inventory.query.dataset_comparison",
    "connect": "inventory.query.dataset",
    "load_config": "config",
    "new_objects_sensor": "defs.object_sensor",
    "open_results": "wiring.results",
}
"""The module of each public name, within this package."""

if sys.platform == "linux":
    # Arrow reads this when it is imported. A listing takes a tenth less memory and CPU with
    # jemalloc than with mimalloc, which returns freed memory to the system and soon requests it
    # again (docs/benchmarks.md).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    # By default, Arrow's jemalloc returns freed memory after a second, and requests it again for
    # the next row group. That takes a third of a listing's time in the kernel (docs/benchmarks.md).
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "dirty_decay_ms:10000")


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562).

    Raises:
        AttributeError: The name is not public.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
