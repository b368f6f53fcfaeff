"""How a key space is walked: ranges, shards, discovery, order, and the evidence of completeness.

This room turns requests into objects in key order, and proves that none is missing. It must not
know of dates, Parquet files or Dagster.
"""

from inventory_assets.scan.directories import DirectoryOrderWalk
from inventory_assets.scan.discovery import Discovery, KeyOrder, ShardBounds, discover
from inventory_assets.scan.engine import Scan
from inventory_assets.scan.errors import KeysOutOfOrder, ScanError, TooManyShards
from inventory_assets.scan.evidence import Ending, EvidenceLog, RangeEvidence
from inventory_assets.scan.ranges import KeyRange
from inventory_assets.scan.shards import Shard, cut_out
from inventory_assets.scan.versions import Versions
from inventory_assets.scan.walks import Ended, Event, Failed, Found, Split, Walk

__all__ = [
    "DirectoryOrderWalk",
    "Discovery",
    "Ended",
    "Ending",
    "Event",
    "EvidenceLog",
    "Failed",
    "Found",
    "KeyOrder",
    "KeyRange",
    "KeysOutOfOrder",
    "RangeEvidence",
    "Scan",
    "ScanError",
    "Shard",
    "ShardBounds",
    "Split",
    "TooManyShards",
    "Versions",
    "Walk",
    "cut_out",
    "discover",
]
