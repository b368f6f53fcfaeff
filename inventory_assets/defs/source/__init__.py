"""What one source lends its definitions: its context, partitions, metadata, checks, resources.

It knows no single asset.
"""
