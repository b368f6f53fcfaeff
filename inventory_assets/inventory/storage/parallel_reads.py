"""Read many small records of a store at a time: on a bucket, each takes a round trip."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_K = TypeVar("_K")
_T = TypeVar("_T")

READS_AT_ONCE = 10
"""The most records that are read at a time: as many connections as botocore keeps open."""


def read_each(read: Callable[[_K], _T], names: Sequence[_K]) -> list[_T]:
    """Read several records.

    Args:
        read: Reads one.
        names: What names each of them.

    Returns:
        What was read, in the order of the names.

    Raises:
        InventoryError: Whatever `read` raises; the first one counts.
    """
    if len(names) <= 1:
        return [read(name) for name in names]
    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="record") as pool:
        return [*pool.map(read, names)]
