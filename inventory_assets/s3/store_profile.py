"""What a store's answers are like, where stores differ."""

from enum import StrEnum


class KeyEncoding(StrEnum):
    """How keys stand in a response."""

    DECLARED = "as declared"
    """Percent-encoded where `<EncodingType>url</EncodingType>` says so, as AWS does; `+` is a space
    there."""
    URL = "url"
    """Percent-encoded, though no `<EncodingType>` says so; `+` is a space."""
    URL_PLUS_LITERAL = "url, plus stands for itself"
    """Percent-encoded, whether declared or not; `+` is a plus."""
    PLAIN = "plain"
    """Not encoded, whatever `<EncodingType>` says."""
