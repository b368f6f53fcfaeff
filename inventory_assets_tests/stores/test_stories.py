"""A listing of an odd store ends with the truth or by name, in thousands of stories.

The stories follow from a seed, which the report prints; `STORES_SEED` plays those of a seed again,
and `STORES_STORIES` says how many.
"""

import asyncio
import os
import random
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, seed, settings

from inventory_assets.inventory.listing import checkpoints, part_stream
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.storage import store as store_module
from inventory_assets_tests.stores.report import Noted
from inventory_assets_tests.stores.stories import Story, play, stories
from inventory_assets_tests.virtual_time import VirtualLoop, scans_run_on_virtual_time

_T = TypeVar("_T")

FEW, MANY = 60, 3000


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Files of few records, soon noted; nothing is flushed to the disk, and time costs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (part_stream, part_writer):
            patch.setattr(module, "ROW_GROUP_ROWS", 4)
        patch.setattr(part_writer, "PART_ROWS", 8)
        patch.setattr(checkpoints, "SECONDS_BETWEEN", timedelta(seconds=0.1))
        patch.setattr(store_module, "_flush", lambda _path: None)
        real = asyncio.Runner
        scans_run_on_virtual_time(patch)
        patch.setattr(asyncio, "run", partial(_run, real))
        yield


def _run(runner: type[asyncio.Runner], main: Coroutine[Any, Any, _T]) -> _T:
    """`asyncio.run` on virtual time."""
    with runner(loop_factory=VirtualLoop) as running:
        return running.run(main)


def check(number: int, start: int | None, noted: Noted) -> None:
    """Play so many stories; those of a seed, or always the same."""
    results: Counter[str] = Counter()

    @settings(
        max_examples=number,
        derandomize=start is None,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(stories())
    def each(story: Story) -> None:
        with tempfile.TemporaryDirectory() as folder:
            result = play(story, Path(folder))
        results["exact" if result == "exact" else "refused"] += 1

    try:
        (each if start is None else seed(start)(each))()
    except AssertionError as error:
        results["lost" if "lost" in str(error) else "doubled"] += 1
        raise
    finally:
        named = "always the same" if start is None else f"STORES_SEED={start}"
        noted.stories(f"Stories that chance drew ({named})", results)


def test_a_listing_ends_with_the_truth_or_by_name(noted: Noted) -> None:
    check(FEW, None, noted)


@pytest.mark.stores
def test_thousands_of_listings_end_with_the_truth_or_by_name(noted: Noted) -> None:
    start = int(os.environ.get("STORES_SEED") or random.randrange(2**32))  # noqa: S311
    check(int(os.environ.get("STORES_STORIES") or MANY), start, noted)
