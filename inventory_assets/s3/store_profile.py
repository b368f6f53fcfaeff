"""Differences between stores in how they list.

S3-compatible stores differ in the meaning of StartAfter, in whether continuation tokens work, and
in how keys are encoded in a response. A profile describes one store; the defaults are those of AWS.
`scan/store_probe.py` determines it.
"""

from dataclasses import dataclass
from enum import StrEnum


class KeyEncoding(StrEnum):
    """How keys are encoded in a response."""

    DECLARED = "as declared"
    """Url-encoded if <EncodingType> is url; "+" is then a space."""
    URL = "url"
    """Url-encoded, whatever the response declares; "+" is a space."""
    URL_PLUS_LITERAL = "url, plus stands for itself"
    """Url-encoded, whatever the response declares; "+" is a plus."""
    PLAIN = "plain"
    """Not encoded, whatever the response declares."""


class StartAfter(StrEnum):
    """The first key of a listing with StartAfter."""

    EXCLUSIVE = "exclusive"
    INCLUSIVE = "inclusive"
    """The given key itself, if it exists."""
    IGNORED = "ignored"
    """The first key of all."""


class Continuation(StrEnum):
    """How the next page is requested."""

    TOKEN = "continuation token"  # noqa: S105 - not a password
    LAST_KEY = "start-after of the last key"
    MARKER = "marker of the last key (ListObjects, version 1)"
    NONE = "nothing that can be relied on"
    """Such a store is refused."""


class Echoed(StrEnum):
    """An element of a response that repeats a request parameter."""

    NAME = "Name"
    PREFIX = "Prefix"
    START_AFTER = "StartAfter"
    TOKEN = "ContinuationToken"  # noqa: S105 - not a password
    MAX_KEYS = "MaxKeys"
    DELIMITER = "Delimiter"


@dataclass(frozen=True, slots=True)
class StoreProfile:
    """How one store lists.

    Attributes:
        start_after: The meaning of StartAfter.
        continuation: How the next page is requested.
        encoding: How keys are encoded.
        echoes: The request parameters that responses were seen to repeat.
        only_if_sent: Those that responses were seen to lack where the request had none.
    """

    start_after: StartAfter = StartAfter.EXCLUSIVE
    continuation: Continuation = Continuation.TOKEN
    encoding: KeyEncoding = KeyEncoding.DECLARED
    echoes: frozenset[Echoed] = frozenset()
    only_if_sent: frozenset[Echoed] = frozenset()

    @property
    def habits(self) -> str:
        """The differences from AWS, for messages; "as AWS" without any."""
        odd = {
            "start-after is": (self.start_after, StartAfter.EXCLUSIVE),
            "pages go on by": (self.continuation, Continuation.TOKEN),
            "keys are encoded:": (self.encoding, KeyEncoding.DECLARED),
        }
        said = [f"{what} {found}" for what, (found, usual) in odd.items() if found != usual]
        return "; ".join(said) or "as AWS"


AWS = StoreProfile()
