"""What an inventory is: records, parts, snapshots, changes, manifests, and where they are kept.

This room turns walked objects into published files. It must not know of Dagster.
"""
