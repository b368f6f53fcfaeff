"""The orders in which stores list."""

from enum import StrEnum


class KeyOrder(StrEnum):
    """In what order a store lists its keys."""

    BYTES = "bytes"
    DIRECTORY = "directory"


DIRECTORY_SERVERS = ("SeaweedFS",)
"""Stores known to list in directory order, by the start of their `Server` header."""
