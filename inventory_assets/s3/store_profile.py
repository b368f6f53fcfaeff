"""How a store lists, where stores differ: what a listing may rely on, and what it must do instead.

S3-compatible stores differ in what StartAfter means, whether a continuation token can be trusted,
and how keys are encoded in a response. A profile says how one store does; the defaults are those of
AWS. `scan/store_probe.py` finds it out.
"""

from dataclasses import dataclass
from enum import StrEnum


class KeyEncoding(StrEnum):
    """How keys stand in a response."""

    DECLARED = "as declared"
    """Url-encoded where <EncodingType>url</EncodingType> says so; a space is a plus then."""
    URL = "url"
    """Url-encoded, whatever the response declares; a plus is a space."""
    URL_PLUS_LITERAL = "url, plus stands for itself"
    """Url-encoded, whatever the response declares; a plus is a plus."""
    PLAIN = "plain"
    """Not encoded, whatever the response declares."""


class StartAfter(StrEnum):
    """With which key a listing begins that was asked for the keys after one."""

    EXCLUSIVE = "exclusive"
    INCLUSIVE = "inclusive"
    """With that key itself, if it exists."""
    IGNORED = "ignored"
    """With the first key of all."""


class Continuation(StrEnum):
    """How a listing goes on from one page to the next."""

    TOKEN = "continuation token"  # noqa: S105 - not a password
    LAST_KEY = "start-after of the last key"
    MARKER = "marker of the last key (ListObjects, version 1)"
    NONE = "nothing that can be relied on"
    """Such a store is refused."""


class Echoed(StrEnum):
    """An element of a response that repeats a parameter of its request."""

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
        start_after: What StartAfter means.
        continuation: How a listing goes on.
        encoding: How keys are encoded.
        echoes: What of a request its response repeats, as was seen.
    """

    start_after: StartAfter = StartAfter.EXCLUSIVE
    continuation: Continuation = Continuation.TOKEN
    encoding: KeyEncoding = KeyEncoding.DECLARED
    echoes: frozenset[Echoed] = frozenset()

    @property
    def habits(self) -> str:
        """How the store differs from AWS, for people; "as AWS" where it does not."""
        odd = {
            "start-after is": (self.start_after, StartAfter.EXCLUSIVE),
            "pages go on by": (self.continuation, Continuation.TOKEN),
            "keys are encoded:": (self.encoding, KeyEncoding.DECLARED),
        }
        said = [f"{what} {found}" for what, (found, usual) in odd.items() if found != usual]
        return "; ".join(said) or "as AWS"


AWS = StoreProfile()
