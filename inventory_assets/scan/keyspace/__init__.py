"""Keys as values: ranges, shards, orders. Pure, and without I/O."""
