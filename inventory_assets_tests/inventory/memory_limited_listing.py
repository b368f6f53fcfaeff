"""List a generated bucket into a folder under a memory limit, and print the memory that it took.

Run as a process of its own, `python -m inventory_assets_tests.inventory.memory_limited_listing
COUNT RECEIVERS ALLOWED FOLDER`. It may allocate ALLOWED bytes beyond what the process has when the
listing starts. It prints the number of listed objects and the peak resident memory in bytes.
"""

import resource
import sys
from pathlib import Path

from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets_tests.fakes.generated_bucket import GeneratedBucket

STACK_BYTES = 8 * 2**20


def main(count: int, receivers: int, allowed: int, folder: Path) -> None:
    """List under a limit; a MemoryError is the end of it."""
    lister = GeneratedBucket(count, receivers)
    # The stack of each thread counts as data, though hardly any of it is ever touched.
    limit = _memory("VmData") + receivers * STACK_BYTES + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    found = list_into_folder(lister, "", folder)
    # Not that of getrusage, which begins with the peak of the process that started this one.
    print(found.rows, _memory("VmHWM"))


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
