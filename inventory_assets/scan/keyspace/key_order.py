"""The orders in which stores list."""

from enum import StrEnum


class KeyOrder(StrEnum):
    """The order in which a store lists its keys."""

    BYTES = "bytes"
    DIRECTORY = "directory"


DIRECTORY_SERVERS = ("SeaweedFS",)
"""Starts of the `Server` header of stores that list in directory order."""
