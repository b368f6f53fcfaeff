"""One request for a page of keys, and its query parameters."""

from inventory_assets.fast_values import value
from inventory_assets.s3.decoding.page import MAX_KEYS, versions_markers
from inventory_assets.s3.store_profile import Continuation, KeyEncoding


@value
class PageRequest:
    """A ListObjectsV2, ListObjects or ListObjectVersions request.

    Attributes:
        prefix: Only keys that start with it.
        start_after: Only keys after it; not sent together with a token.
        token: The `next_token` of the previous page.
        delimiter: Group keys into common prefixes at its first occurrence after the prefix.
        max_keys: Maximum keys and common prefixes in the page.
        versions: Whether to list all versions and delete markers.
        encoding: How keys are encoded in the response; None for the store profile's value.
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
        """The IAM action that the request needs."""
        return "s3:ListBucketVersions" if self.versions else "s3:ListBucket"

    def operation(self, continuation: Continuation = Continuation.TOKEN) -> str:
        """The operation of the S3 API, for the store's way of continuation."""
        if self.versions:
            return "ListObjectVersions"
        return "ListObjects" if continuation is Continuation.MARKER else "ListObjectsV2"

    def parameters(self, continuation: Continuation = Continuation.TOKEN) -> dict[str, str]:
        """The query parameters of the request, for the store's way of continuation."""
        is_version_1 = continuation is Continuation.MARKER and not self.versions
        kind = {"versions": ""} if self.versions else {"list-type": "2"}
        if is_version_1:
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
            name = "key-marker" if self.versions else "marker" if is_version_1 else "start-after"
            parameters[name] = self.start_after
        return parameters
