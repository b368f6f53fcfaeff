"""Sorted Parquet files of records: schema, writer, readers, fingerprints, drafts.

This package knows no dates, shards or manifests.
"""
