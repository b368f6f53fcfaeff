"""List an odd store like a user would, and describe the result."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inventory_assets.errors import InventoryError
from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.validation.object_versions import Versions
from inventory_assets_tests.stores.holdings import StoredObject, difference, listed, truth
from inventory_assets_tests.stores.odd_pages import Query

EXACT = "exact"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a listing.

    Attributes:
        difference: How the result differs from the truth; "" where it does not, and where there is
            none.
        error: Why there is no result; None where there is one.
        set_aside: Records that could not be read, and are told of.
        requests: Requests that the store saw.
        strategy: How the store was asked.
    """

    difference: str
    error: InventoryError | None
    set_aside: int
    requests: int
    strategy: str

    @property
    def kind(self) -> str:
        """ "exact", "refused", "lost" or "doubled"; other errors count as "lost"."""
        if self.error is not None:
            return "refused"
        if self.difference:
            is_doubled = "doubled" in self.difference and "lost" not in self.difference
            return "doubled" if is_doubled else "lost"
        return EXACT

    @property
    def result(self) -> str:
        """In a few words, for the report."""
        if self.error is not None:
            return f"refused: {type(self.error).__name__}"
        if self.difference:
            return f"WRONG: {self.difference}"
        return f"{EXACT}, {self.set_aside} set aside" if self.set_aside else EXACT


def list_and_compare(
    lister: ListClient,
    asked: Sequence[Query],
    holdings: Sequence[StoredObject],
    folder: Path,
    prefix: str = "",
    *,
    with_versions: bool = False,
    processes: int = 1,
) -> Outcome:
    """List a bucket into a folder.

    Args:
        lister: The bucket.
        asked: Where its store notes what it is asked.
        holdings: What it holds.
        folder: Where the files go.
        prefix: What is listed of it.
        with_versions: Whether versions are.
        processes: How many share the work.
    """
    error: InventoryError | None = None
    differs, unread = "", 0
    versions = Versions() if with_versions else None
    try:
        listing = list_into_folder(lister, prefix, folder, processes, versions=versions)
    except InventoryError as refused:
        error = refused
    else:
        unread = set_aside(listing)
        inside = [each for each in holdings if each.key.startswith(prefix)]
        expected = truth(inside, with_versions=with_versions)
        found = listed(folder, with_versions=with_versions)
        if unread:  # all rows are correct, and missing ones are reported
            there = set(found)
            missing = [row for row in expected if row not in there]
            told_of = set(missing[:unread])
            expected = [row for row in expected if row not in told_of]
        differs = difference(found, expected)
    return Outcome(differs, error, unread, len(asked), _strategy(lister, asked))


def impatient() -> RetryPolicy:
    """Gives up soon: what these stores do does not pass with time."""
    return RetryPolicy(outage_seconds=5.0, base_seconds=0.005, cap_seconds=0.05)


def set_aside(listing: object) -> int:
    """The number of unreadable records that a listing or snapshot reports."""
    found = getattr(listing, "unreadable", None)
    count: int = getattr(found, "count", 0)
    return count


def _strategy(lister: ListClient, asked: Sequence[Query]) -> str:
    """How a store was listed, from its profile and the requests."""
    kinds = Counter(map(_kind, asked))
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{lister.profile.habits}: {told}"


def _kind(query: Query) -> str:
    if query.text("delimiter"):
        return "by folder"
    for name, kind in (
        ("continuation-token", "by token"),
        ("version-id-marker", "by version"),
        ("start-after", "by StartAfter"),
        ("key-marker", "by KeyMarker"),
        ("marker", "by Marker"),
    ):
        if query.text(name):
            return kind
    return "from the start"
