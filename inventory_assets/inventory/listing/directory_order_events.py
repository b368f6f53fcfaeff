"""Drive a walk by directories: its events, and files that end often enough to be gone on with."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from inventory_assets.inventory.errors import versions_in_directories
from inventory_assets.inventory.listing.part_assembler import PartAssembler
from inventory_assets.s3.list_client import ListClient
from inventory_assets.scan.directory_order_scan import DirectoryOrderScan
from inventory_assets.scan.engine.events import ListingJob, ObjectsListed, RangeCompleted
from inventory_assets.scan.validation.range_evidence import EvidenceBuilder

BETWEEN_CUTS = timedelta(minutes=1)
"""How often such a listing ends its file, so that no more is lost when it is killed."""


def directory_events(
    lister: ListClient, job: ListingJob, assembler: PartAssembler, now: Callable[[], datetime]
) -> Iterator[ObjectsListed | RangeCompleted]:
    """What is found of the ranges of a walk, in order, as a scan would tell it.

    Args:
        lister: A bucket that lists in directory order.
        job: What to list.
        assembler: Where the caller writes what is found, before it asks for the next event; files
            are ended here.
        now: The clock.

    Raises:
        VersionsNotListed: Versions are wanted.
        ScanError: The store keeps to no order.
        S3Error: A request failed for good.
    """
    if job.versions:
        raise versions_in_directories(lister.connection.display_name)
    log = EvidenceBuilder(job.ranges)
    ended, last_cut = 0, now()
    for objects in DirectoryOrderScan(lister, job.prefix, job.ranges, job.stats, log):
        for index in range(ended, len(log.closed)):
            yield RangeCompleted(job, index, log.closed[index])
        ended = len(log.closed)
        yield ObjectsListed(job, ended, objects)
        if now() - last_cut >= BETWEEN_CUTS:
            assembler.finish_part(ended)
            last_cut = now()
    for index in range(ended, len(log.closed)):
        yield RangeCompleted(job, index, log.closed[index])
