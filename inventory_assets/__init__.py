"""Complete, sorted, daily inventories of S3 buckets of any size, as Dagster data assets."""

import os
import sys

if sys.platform == "linux":
    # Arrow reads it when it is imported. A listing takes a tenth less memory and CPU with jemalloc
    # than with mimalloc, which gives freed memory back only to fetch it again (docs/benchmarks.md).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
