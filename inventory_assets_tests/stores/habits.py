"""How stores differ in listing a bucket: one value for each difference, and any of them together.

The default of each is what AWS does. `DIRECTORY | INCLUSIVE` is a store with both habits.
"""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any


class Order(StrEnum):
    """In what order keys are listed."""

    BYTES = "by bytes"
    DIRECTORY = "by directory"
    UTF_16 = "by UTF-16 code units"
    CASELESS = "without regard to case"
    REVERSE = "backwards"


class StartAfter(StrEnum):
    """The first key of a listing with StartAfter."""

    EXCLUSIVE = "the first key behind, in the store's order"
    BY_BYTES = "the first key behind, by bytes"
    INCLUSIVE = "the key itself, if there is one"
    IGNORED = "the first key of all"
    WITHIN_PREFIX_OR_EMPTY = "nothing, where the key does not begin with the prefix"
    WITHIN_PREFIX_OR_501 = "501, where the key does not begin with the prefix"


class Encoding(StrEnum):
    """How keys are encoded in a response to a request with `encoding-type=url`."""

    DECLARED = "url-encoded, and the answer says so"
    UNDECLARED = "url-encoded, and the answer does not say so"
    IGNORED = "plain, and the answer does not say otherwise"
    RAW = "plain, control characters too, and the answer does not say otherwise"
    FALSELY_DECLARED = "plain, though the answer says that they are url-encoded"
    PLUS_LITERAL = "url-encoded, but a plus stands for itself"
    PLUS_LITERAL_UNDECLARED = "url-encoded without saying so, and a plus stands for itself"


class Tokens(StrEnum):
    """How the next page is requested, and its first key."""

    TRUE = "by token: the next key"
    INDEX = "by token: the next position"
    SKIP_AFTER_MADE_UP = "by token: leaves out a key after a StartAfter that is no key"
    SKIP_ALWAYS = "by token: leaves out a key"
    STUCK = "by token: the second page again and again"
    MARKER = "by Marker, the last key of the page before"
    NEXT_MARKER = "by NextMarker"


class VersionListing(StrEnum):
    """The response to a request for versions."""

    LISTED = "versions"
    NOT_IMPLEMENTED = "501 NotImplemented"
    NOT_ALLOWED = "405 MethodNotAllowed"
    INVALID = "400 InvalidArgument"
    EMPTY = "an empty list"
    OBJECTS = "the current objects"


class VersionMarker(StrEnum):
    """The next markers of a page of versions."""

    TRUE = "the last key, encoded as keys are, and its version"
    KEY_PLAIN = "the last key unencoded, and its version"
    ID_NULL = "the last key, and the version null"
    INCLUSIVE = "the last version, with which the next page begins again"


class Echo(StrEnum):
    """How a response repeats the request parameters."""

    AS_KEYS = "encoded as keys are"
    PLAIN = "unencoded, and the token ends with the last key"
    NONE = "not at all"


class Times(StrEnum):
    """The format of LastModified (for strftime)."""

    MILLISECONDS = "%Y-%m-%dT%H:%M:%S.000Z"
    SECONDS = "%Y-%m-%dT%H:%M:%SZ"
    NANOSECONDS = "%Y-%m-%dT%H:%M:%S.000000000Z"
    OFFSET = "%Y-%m-%dT%H:%M:%S+00:00"
    OFFSET_WITHOUT_COLON = "%Y-%m-%dT%H:%M:%S+0000"
    NO_ZONE = "%Y-%m-%dT%H:%M:%S"
    RFC_1123 = "%a, %d %b %Y %H:%M:%S GMT"
    SPACE = "%Y-%m-%d %H:%M:%SZ"
    DATE = "%Y-%m-%d"
    EPOCH = "%s"
    EMPTY = ""


class Contradiction(StrEnum):
    """How a page is inconsistent."""

    ENDS_TWICE = "two IsTruncated that differ"
    ENDS_WITH_TOKEN = "IsTruncated false, and a token"
    COUNTS_WRONG = "a KeyCount other than the number of keys"
    GOES_ON_WITHOUT_TOKEN = "IsTruncated true, and no token"


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """A page that says it is the last one, though it is not.

    Attributes:
        after: Names that a listing (a chain of pages) has shown before; 0 for any.
        chance: How likely each such page lies.
        times: How many pages lie at most; None for any number.
        at_key: Only a page that shows this key lies.
    """

    after: int = 0
    chance: float = 1.0
    times: int | None = None
    at_key: str | None = None


@dataclass(frozen=True, slots=True)
class Busy:
    """A spell of refusals.

    Attributes:
        begins: The number of the first request that is refused.
        requests: How many are.
        status: The HTTP status.
        code: The code of the error document.
        retry_after: The header's value, if it is sent.
    """

    begins: int
    requests: int
    status: int = 503
    code: str = "SlowDown"
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Habits:
    """What a store does otherwise than AWS.

    Attributes:
        order: The order of keys.
        order_from: The level of folders from which that order holds; above it, bytes do.
        start_after: What StartAfter leads to.
        key_marker: What KeyMarker without a version leads to: EXCLUSIVE or INCLUSIVE.
        encoding: How keys are written.
        echo: How the request is repeated.
        tokens: How pages follow each other.
        page_keys: Keys and folders in a page at most.
        early_end: Pages that end the listing too early.
        empty_pages: Empty pages before each page that holds something.
        stale: How likely an answer is the answer to an earlier request, sent once more.
        stale_times: How often at most.
        contradiction: How pages contradict themselves.
        contradicted: How many pages do, at most.
        times: How LastModified is written.
        markers_lack: Elements that are missing where a key ends with `/`.
        versions: What versions are answered with.
        version_marker: How a page of versions names the next one.
        busy: Spells of refusals.
        server: What the header `Server` says.
        seconds: How long an answer takes.
    """

    order: Order = Order.BYTES
    order_from: int = 0
    start_after: StartAfter = StartAfter.EXCLUSIVE
    key_marker: StartAfter = StartAfter.EXCLUSIVE
    encoding: Encoding = Encoding.DECLARED
    echo: Echo = Echo.AS_KEYS
    tokens: Tokens = Tokens.TRUE
    page_keys: int = 1000
    early_end: EarlyEnd | None = None
    empty_pages: int = 0
    stale: float = 0.0
    stale_times: int = 1
    contradiction: Contradiction | None = None
    contradicted: int = 1
    times: Times = Times.MILLISECONDS
    markers_lack: frozenset[str] = frozenset()
    versions: VersionListing = VersionListing.LISTED
    version_marker: VersionMarker = VersionMarker.TRUE
    busy: tuple[Busy, ...] = ()
    server: str = "gateway"
    seconds: float = 0.0

    def __or__(self, other: "Habits") -> "Habits":
        """A store with the habits of both.

        Raises:
            ValueError: They contradict each other.
        """
        ours, theirs = self.unusual, other.unusual
        if both := [name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]]:
            raise ValueError(f"two habits of one kind: {', '.join(sorted(both))}")
        return Habits(**ours, **{name: theirs[name] for name in theirs.keys() - ours.keys()})

    @property
    def unusual(self) -> dict[str, Any]:
        """By name, what differs from AWS."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(AWS, name)}

    def __str__(self) -> str:
        return "; ".join(f"{name}: {value}" for name, value in self.unusual.items()) or "as AWS"


AWS = Habits()
