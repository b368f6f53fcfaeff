"""How S3 speaks: connections, requests, pages, errors and throttling.

This room knows one bucket and the bytes of its listing. It must not know of shards, dates, Parquet
files or Dagster.
"""
