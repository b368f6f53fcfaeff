"""Complete, sorted, daily inventories of S3 buckets of any size, as Dagster data assets."""

import os
import sys

if sys.platform == "linux":
    # Arrow reads it when it is imported. A listing takes a tenth less memory and CPU with jemalloc
    # than with mimalloc, which gives freed memory back only to fetch it again (docs/benchmarks.md).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    # Given back after a second, as is Arrow's default, it would be fetched again with the next row
    # group: that is a third of what a listing takes in the kernel (docs/benchmarks.md).
    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "dirty_decay_ms:10000")
