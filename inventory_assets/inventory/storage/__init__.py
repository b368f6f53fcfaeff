"""Storage of results: keys to bytes, atomically, in a folder or in a bucket.

This package knows which files there are (`layout`), how a type of records is declared
(`record_type`) and how concurrent writers publish (`commit`). It does not know what a record
contains, nor what Parquet is.
"""
