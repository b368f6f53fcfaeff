"""Shared by the definitions of one source: context, partitions, metadata, checks, resources.

This package knows no individual asset.
"""
