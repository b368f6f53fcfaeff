"""Key ranges, shards and key orders as values; no I/O."""
