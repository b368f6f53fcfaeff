"""Errors of a listing other than failed requests."""

from inventory_assets.errors import InventoryError
from inventory_assets.s3.store_profile import KeyEncoding


class ScanError(InventoryError):
    """A listing cannot become an inventory."""


class KeysOutOfOrder(ScanError):
    """The store does not list its keys in ascending UTF-8 byte order."""


class SeamDisagrees(KeysOutOfOrder):
    """The store's responses contradict each other at the boundary of two ranges."""


class ListingUnsupported(ScanError):
    """The store has no way to list more than one page."""


class NamesMisread(ScanError):
    """Keys have another encoding than the store's profile says.

    Attributes:
        encoding: The actual encoding.
    """

    def __init__(self, message: str, encoding: KeyEncoding) -> None:
        super().__init__(message)
        self.encoding = encoding

    def __reduce__(self) -> tuple[type["NamesMisread"], tuple[str, KeyEncoding]]:
        return type(self), (str(self), self.encoding)  # pickled between processes


class ListingStuck(ScanError):
    """The store repeats a continuation token, or sends too many empty pages."""


class KeyOutsideRequest(ScanError):
    """The store lists a key that the request excludes."""


class TooManyShards(ScanError):
    """Discovery found more prefixes than the source's maximum number of shards."""
