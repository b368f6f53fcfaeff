"""The content of a shard and of a date: snapshots, and the manifest that merges them.

This package reads, writes and validates these records. It does not know how they were listed.
"""
