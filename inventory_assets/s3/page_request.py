"""One request for a page of keys, and its query parameters."""

from dataclasses import dataclass

from inventory_assets.s3.decoding.xml_decoder import (
    MAX_KEYS,
    versions_markers,
)
from inventory_assets.s3.store_profile import Continuation, KeyEncoding


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One ListObjectsV2 request, or ListObjectVersions.

    Attributes:
        prefix: Only keys that start with it.
        start_after: Only keys after it, with all their versions; not sent along with a token.
        token: The continuation token of the page before.
        delimiter: Roll keys up into common prefixes at its first occurrence after the prefix.
        max_keys: Keys and common prefixes in the page at most.
        versions: Whether all versions and delete markers are asked for.
        encoding: How keys stand in the answer; None for what the store's profile says.
    """

    prefix: str = ""
    start_after: str = ""
    token: str | None = None
    delimiter: str | None = None
    max_keys: int = MAX_KEYS
    versions: bool = False
    encoding: KeyEncoding | None = None

    @property
    def action(self) -> str:
        """What must be allowed for it."""
        return "s3:ListBucketVersions" if self.versions else "s3:ListBucket"

    def parameters(self, continuation: Continuation = Continuation.TOKEN) -> dict[str, str]:
        """The query of the request, to a store whose listings go on in some way."""
        is_old = continuation is Continuation.MARKER and not self.versions
        kind = {"versions": ""} if self.versions else {"list-type": "2"}
        if is_old:
            kind = {}
        parameters = {**kind, "encoding-type": "url", "max-keys": str(self.max_keys)}
        if self.prefix:
            parameters["prefix"] = self.prefix
        if self.delimiter:
            parameters["delimiter"] = self.delimiter
        if self.token and self.versions:
            parameters["key-marker"], parameters["version-id-marker"] = versions_markers(self.token)
        elif self.token:
            parameters["continuation-token"] = self.token
        elif self.start_after:
            name = "key-marker" if self.versions else "marker" if is_old else "start-after"
            parameters[name] = self.start_after
        return parameters
