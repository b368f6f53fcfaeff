"""The orders in which stores list."""

from enum import StrEnum


class KeyOrder(StrEnum):
    """In what order a store lists its keys."""

    BYTES = "bytes"
    DIRECTORY = "directory"
