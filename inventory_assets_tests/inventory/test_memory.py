"""The memory of a listing is bounded, independently of the size of the bucket."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inventory_assets.inventory.listing.part_stream import ROWS_IN_MEMORY
from inventory_assets.inventory.parts.parquet_encoding import ROW_GROUP_ROWS
from inventory_assets.scan.engine.page_queue import BATCH_PAGES, QUEUED_PAGES

POOL = "ARROW_DEFAULT_MEMORY_POOL"
RECEIVERS = 64
PAGE_BYTES = 400_000
OBJECT_BYTES = 200

BOUND = PAGE_BYTES * (RECEIVERS + QUEUED_PAGES + 2 * BATCH_PAGES) + OBJECT_BYTES * (
    ROWS_IN_MEMORY + 3 * ROW_GROUP_ROWS
)
"""Bytes beyond those of the imported modules; docs/decisions/0012-bounded-memory.md explains it."""


def peak_of_listing(objects: int, folder: Path) -> int:
    command = [sys.executable, "-m", "inventory_assets_tests.inventory.memory_limited_listing"]
    arguments = [str(objects), str(RECEIVERS), str(BOUND), str(folder)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed, peak = map(int, done.stdout.split())
    assert listed == objects
    return peak


def test_twenty_times_the_objects_take_no_more_memory(tmp_path: Path) -> None:
    small = peak_of_listing(50_000, tmp_path / "small")
    large = peak_of_listing(1_000_000, tmp_path / "large")
    assert large < small + BOUND / 2
    assert large < 350_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Arrow has jemalloc on Linux")
@pytest.mark.parametrize(("chosen", "used"), [(None, "jemalloc"), ("system", "system")])
def test_arrow_uses_jemalloc_unless_another_allocator_is_configured(
    chosen: str | None, used: str
) -> None:
    environment = {name: text for name, text in os.environ.items() if name != POOL}
    environment |= {POOL: chosen} if chosen else {}
    script = "import inventory_assets, pyarrow as pa; print(pa.default_memory_pool().backend_name)"
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    assert process.stdout.strip() == used
