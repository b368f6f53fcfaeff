"""What a walk over a key space can meet beyond a failing request."""

from inventory_assets.errors import InventoryError
from inventory_assets.s3.store_profile import KeyEncoding


class ScanError(InventoryError):
    """A listing that cannot become an inventory."""


class KeysOutOfOrder(ScanError):
    """The store does not list its keys in ascending UTF-8 byte order."""


class SeamDisagrees(KeysOutOfOrder):
    """The store contradicts itself about what lies where two ranges meet."""


class ListingUnsupported(ScanError):
    """The store offers no way to list more than a page."""


class NamesMisread(ScanError):
    """Keys are encoded otherwise than was thought.

    Attributes:
        encoding: How they are.
    """

    def __init__(self, message: str, encoding: KeyEncoding) -> None:
        super().__init__(message)
        self.encoding = encoding

    def __reduce__(self) -> tuple[type["NamesMisread"], tuple[str, KeyEncoding]]:
        return type(self), (str(self), self.encoding)  # it may come from another process


class ListingStuck(ScanError):
    """The store repeats a continuation token, or sends one empty page after another."""


class KeyOutsideRequest(ScanError):
    """The store lists a key that the request excludes."""


class TooManyShards(ScanError):
    """Discovery found more prefixes than the source allows shards."""
