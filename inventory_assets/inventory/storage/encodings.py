"""The Parquet encodings of data files."""

from enum import StrEnum


class Encodings(StrEnum):
    """A choice of encodings; the records are the same in both."""

    COMPACT = "compact"
    """The smallest encodings that current readers know, including delta encodings of text."""
    PLAIN = "plain"
    """Only PLAIN and dictionaries, which every reader knows."""

    @property
    def suffix(self) -> str:
        """The end of the names of files with these encodings."""
        return ".plain.parquet" if self is Encodings.PLAIN else ".parquet"


def encodings_of(key: str) -> Encodings:
    """The encodings of a file, by its key."""
    is_plain = ".plain." in key.rpartition("/")[2]
    return Encodings.PLAIN if is_plain else Encodings.COMPACT
