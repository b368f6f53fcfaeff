"""Sorted Parquet files of records: their schema, how they are written, read and fingerprinted.

It knows no date, no shard and no manifest.
"""
