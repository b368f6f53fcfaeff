"""Convert the results of a scan in directory order to the events of a parallel scan."""

from collections.abc import Iterator

from inventory_assets.inventory.errors import versions_in_directories
from inventory_assets.s3.page_source import PageSource
from inventory_assets.scan.directory_order_scan import DirectoryOrderScan
from inventory_assets.scan.engine.events import ListingJob, ObjectsListed, RangeCompleted
from inventory_assets.scan.validation.range_evidence import EvidenceBuilder


def directory_events(
    lister: PageSource, job: ListingJob
) -> Iterator[ObjectsListed | RangeCompleted]:
    """List the ranges of a job, one after the other.

    Args:
        lister: A bucket that lists in directory order.
        job: The job to list.

    Raises:
        VersionsNotListed: Versions are wanted.
        ScanError: The store keeps to no order.
        S3Error: A request failed for good.
    """
    if job.versions:
        raise versions_in_directories(lister.bucket_config.display_name)
    log = EvidenceBuilder(job.ranges)
    ended = 0
    for objects in DirectoryOrderScan(lister, job.prefix, job.ranges, job.stats, log):
        for index in range(ended, len(log.closed)):
            yield RangeCompleted(job, index, log.closed[index])
        ended = len(log.closed)
        yield ObjectsListed(job, ended, objects)
    for index in range(ended, len(log.closed)):
        yield RangeCompleted(job, index, log.closed[index])
