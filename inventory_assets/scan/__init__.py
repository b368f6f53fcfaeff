"""How a key space is walked: ranges, shards, discovery, order, and the evidence of completeness.

This room turns requests into objects in key order, and proves that none is missing. It must not
know of dates, Parquet files or Dagster.
"""
