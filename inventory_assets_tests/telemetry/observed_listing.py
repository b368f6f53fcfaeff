"""List a bucket over HTTP into a folder, with the telemetry that the environment asks for."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from inventory_assets.inventory.folder_listing.folder_listing import FolderListing, list_into_folder
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.list_client import ListClient
from inventory_assets.s3.retries import RetryPolicy
from inventory_assets.scan.engine.progress import ignore_events
from inventory_assets.telemetry.listing_telemetry import listing_telemetry
from inventory_assets.telemetry.subject import subject_of
from inventory_assets_tests.fakes.http_bucket import HttpBucket

BUCKET = "observed"


@dataclass(frozen=True, slots=True)
class Observed:
    """A listing that has ended.

    Attributes:
        listing: Its result.
        trace_id: The id of its trace, or None.
    """

    listing: FolderListing
    trace_id: str | None


def set_environment(patch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Set these `OTEL_*` variables, and no others."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        patch.delenv(name)
    for name, value in variables.items():
        patch.setenv(name, value)


def config_of(server: HttpBucket) -> BucketConfig:
    return BucketConfig(
        BUCKET,
        endpoint_url=server.url,
        region="us-east-1",
        anonymous=True,
        addressing_style="path",
        max_in_flight=4,
    )


def list_observed(server: HttpBucket, folder: Path, prefix: str = "") -> Observed:
    """List the bucket into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    retry = RetryPolicy(outage_seconds=5, base_seconds=0.001)
    with listing_telemetry(lambda: subject_of(BUCKET, server.url)) as telemetry:
        lister = ListClient(config_of(server), retry, observer=telemetry.requests)
        telemetry.watch(lambda: lister.in_flight)
        try:
            report = telemetry.reported(ignore_events)
            listing = list_into_folder(
                lister, prefix, folder, report=report, observer=telemetry.listing
            )
        finally:
            lister.close()
        return Observed(listing, telemetry.trace_id)
