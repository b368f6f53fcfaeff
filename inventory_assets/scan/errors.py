"""What a walk over a key space can meet beyond a failing request."""

from inventory_assets.errors import InventoryError


class ScanError(InventoryError):
    """A listing that cannot become an inventory."""


class KeysOutOfOrder(ScanError):
    """The store does not list its keys in ascending UTF-8 byte order."""


class SeamDisagrees(KeysOutOfOrder):
    """The store contradicts itself about what lies where two ranges meet."""


class ListingStuck(ScanError):
    """The store repeats a continuation token, or sends one empty page after another."""


class KeyOutsideRequest(ScanError):
    """The store lists a key that the request excludes."""


class TooManyShards(ScanError):
    """Discovery found more prefixes than the source allows shards."""
