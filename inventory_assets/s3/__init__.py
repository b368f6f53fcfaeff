"""Access to one bucket over HTTP: requests, pages, errors and concurrency.

This package knows one bucket and the bytes of its listing, and no shards, dates, Parquet
files or Dagster.
"""
