"""What the definitions of one source share: context, partitions, metadata, checks, resources.

This package knows no individual asset.
"""
