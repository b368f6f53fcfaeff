"""What the participants of a shared listing make together: files at a URL, or more than that."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from inventory_assets.inventory.folder_listing.range_listing import Work
from inventory_assets.inventory.listing.baseline_segment import BaselineSegment
from inventory_assets.inventory.listing.checkpoint_record import ResumedWork
from inventory_assets.inventory.listing.checkpoints import CheckpointLog
from inventory_assets.inventory.shared_listing.listing_record import RecordPlaces, SharedListing
from inventory_assets.inventory.shared_listing.range_board import BoardState
from inventory_assets.inventory.shared_listing.range_builder import SharedRangesBuilder
from inventory_assets.inventory.shared_listing.range_claim import RangeClaim
from inventory_assets.scan.engine.events import ListingJob
from inventory_assets.scan.keyspace.key_range import KeyRange

ResultT_co = TypeVar("ResultT_co", covariant=True)


class ListingGoal(Protocol[ResultT_co]):
    """How one participant contributes to the result, and finds that of others.

    Attributes:
        places: Where the records lie.
        remedy: What to do instead if the listing cannot be shared.
        advice: What to do if another listing is there.
        is_replaceable: Whether a listing may begin anew if its record is gone, damaged, or of
            another listing at which nobody works.
    """

    @property
    def places(self) -> RecordPlaces: ...

    @property
    def remedy(self) -> str: ...

    @property
    def advice(self) -> str: ...

    @property
    def is_replaceable(self) -> bool: ...

    def prepare(self) -> bool:
        """Check that a listing may begin where there is none; return False to look again.

        Raises:
            JoinRefused: It may not.
        """

    def new_listing(self, listing: SharedListing) -> SharedListing:
        """Add to a listing that begins what the goal needs to be said in its record."""

    def found(self) -> ResultT_co | None:
        """The result of others that this participant may take, whatever is being listed."""

    def accepts_all_versions(self, began_at: datetime) -> bool:
        """Whether a listing of all versions that began then is as good as the wanted one."""

    def is_over(self, listing: SharedListing) -> bool:
        """Whether a listing whose record is still there has nothing to publish any more.

        Its result is published, or another one that it may not replace.
        """

    def result_of(self, listing: SharedListing) -> ResultT_co | None:
        """The result in the record of a listing; None if it has none."""

    def require_recent(self, listing: SharedListing) -> None:
        """Check that a finished listing stands for the present bucket.

        Raises:
            JoinRefused: It does not.
        """

    def take_part(self, listing: SharedListing) -> None:
        """Note that this participant takes part in a listing, whose result it may take."""

    def work_on(self, listing: SharedListing) -> Work:
        """The bucket and the store, with the layout of the parts of a listing."""

    def segments(self, listing: SharedListing) -> Sequence[BaselineSegment] | None:
        """The segments of the baseline; None if no manifest will name the parts."""

    def split_hints(self, ranges: Sequence[KeyRange]) -> Sequence[str]:
        """The keys at which to split some ranges."""

    def open_builder(
        self,
        work: Work,
        checkpoints: CheckpointLog,
        job: ListingJob,
        listing: SharedListing,
        claim: RangeClaim,
    ) -> SharedRangesBuilder:
        """Open the sink of the ranges of a claim."""

    def summarize(
        self,
        builder: SharedRangesBuilder,
        resumed: ResumedWork,
        ranges: Sequence[KeyRange],
        listing: SharedListing,
    ) -> str:
        """Write what else the result needs of complete ranges.

        Returns:
            The name of the file; "" if it needs nothing.
        """

    def publish(
        self, listing: SharedListing, etag: str, state: BoardState, claim: RangeClaim
    ) -> None:
        """Verify the results of all ranges, and publish the result.

        Args:
            listing: The listing.
            etag: The ETag of its record.
            state: The records, all of which are done.
            claim: The claim to publish.

        Raises:
            IncompleteListing: They do not prove that they are complete.
            ConflictError: Another participant was faster.
            InventoryError: Any other error of a listing.
        """

    def remove(self, listing: SharedListing) -> None:
        """Remove the records and files of a listing that nobody will finish."""

    def tidy(self, listing: SharedListing) -> None:
        """Remove what a listing that is over has left behind."""

    def end(self, listing: SharedListing) -> None:
        """Remove the record of a listing that `is_over`, and what it has left behind."""
