"""`inventory list`: from a scan to Parquet files in a folder, by one process or several.

It does not know manifests or shards.
"""
