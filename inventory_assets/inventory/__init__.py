"""Inventories: records, parts, snapshots, changes, manifests, and their storage.

This package turns listed objects into published files. It does not know Dagster.
"""
