"""What a shard and a date hold: snapshots, and the manifest that merges them.

It reads and writes these records and validates them. It knows not how they were listed.
"""
