"""Which encodings of Parquet our files use."""

from enum import StrEnum


class Encodings(StrEnum):
    """A choice of encodings; the records are the same in both."""

    COMPACT = "compact"
    """The smallest that current readers read, delta encodings of text among them."""
    PLAIN = "plain"
    """PLAIN and dictionaries alone, which every reader reads."""

    @property
    def suffix(self) -> str:
        """How the names of files end that are encoded so."""
        return ".plain.parquet" if self is Encodings.PLAIN else ".parquet"


def encodings_of(key: str) -> Encodings:
    """How a file is encoded that lies under this key."""
    is_plain = ".plain." in key.rpartition("/")[2]
    return Encodings.PLAIN if is_plain else Encodings.COMPACT
