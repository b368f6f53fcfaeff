"""Files of few records, so that keys meet their ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from inventory_assets.inventory.listing import checkpoints, part_stream
from inventory_assets.inventory.parts import part_writer
from inventory_assets.inventory.storage import local_store
from inventory_assets_tests.fakes.virtual_time import scans_run_on_virtual_time


@contextmanager
def files_of_few_records(
    record_interval: timedelta, max_unrecorded: timedelta = checkpoints.MAX_UNRECORDED
) -> Iterator[pytest.MonkeyPatch]:
    """Row groups and files of few records; nothing is flushed to the disk, and time costs nothing.

    Args:
        record_interval: After which time a checkpoint is written.
        max_unrecorded: The time without a checkpoint at most.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in (part_stream, part_writer):
            patch.setattr(module, "ROW_GROUP_ROWS", 4)
        patch.setattr(part_writer, "PART_ROWS", 8)
        patch.setattr(checkpoints, "RECORD_INTERVAL", record_interval)
        patch.setattr(checkpoints, "MAX_UNRECORDED", max_unrecorded)
        patch.setattr(local_store, "_flush", lambda _path: None)
        scans_run_on_virtual_time(patch)
        yield patch
