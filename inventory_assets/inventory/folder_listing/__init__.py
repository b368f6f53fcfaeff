"""`inventory list`: from a scan to Parquet files in a folder, by one process or by several.

It knows no manifest and no shard.
"""
