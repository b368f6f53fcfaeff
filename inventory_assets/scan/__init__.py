"""Listing a key space: ranges, shards, discovery, key order, and the evidence of completeness.

This package turns requests into objects in key order and proves that none is missing. It knows no
dates, Parquet files or Dagster.
"""
