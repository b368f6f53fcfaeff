"""Make the hygiene report of an inventory, and publish that of a date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

import pyarrow as pa

from inventory_assets.inventory.hygiene.duplicates import find_duplicates
from inventory_assets.inventory.hygiene.hygiene_costs import minimum_bytes, priced_by
from inventory_assets.inventory.hygiene.part_findings import (
    compute_findings,
    merge_findings,
    part_findings,
    row_groups,
)
from inventory_assets.inventory.hygiene.report import (
    DUPLICATES,
    HYGIENE,
    SMALL,
    TITLES,
    UNTOUCHED,
    UPLOADS,
    HygieneReport,
    PriceTable,
    UploadAges,
    crowded_prefixes,
    finding_of,
    findings_of,
    in_order,
    skew_of,
    unknown_prices,
)
from inventory_assets.inventory.hygiene.uploads import survey_uploads
from inventory_assets.inventory.hygiene.usage_findings import usage_findings
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.parts.part import Part
from inventory_assets.inventory.parts.schema import has_versions
from inventory_assets.inventory.pricing.price_table import Prices
from inventory_assets.inventory.storage.commit import publish
from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.store import Store
from inventory_assets.s3.upload_client import UploadSource, UploadsUnavailable


@dataclass(frozen=True, slots=True)
class Surveyed:
    """An inventory to survey.

    Attributes:
        store: The store of its parts.
        parts: Its parts, in key order.
        bucket: The bucket that was listed.
        prefix: The prefix that was listed.
        of_versions: Whether versions and delete markers were listed.
        layout: The source whose inventory it is; None for a folder of a listing.
        day: Its date; None for a folder.
        manifest_identity: The identity of its manifest; "" for a folder.
    """

    store: Store
    parts: Sequence[Part]
    bucket: str
    prefix: str
    of_versions: bool
    layout: Layout | None = None
    day: date | None = None
    manifest_identity: str = ""

    @classmethod
    def of_manifest(cls, store: Store, layout: Layout, manifest: Manifest) -> "Surveyed":
        """The inventory of a date."""
        return cls(
            store,
            manifest.parts,
            manifest.bucket,
            manifest.prefix,
            has_versions(manifest.schema),
            layout,
            manifest.day,
            manifest.identity,
        )


@dataclass(frozen=True, slots=True)
class SurveyOptions:
    """What a survey does besides reading each new part once.

    Attributes:
        duplicates: Whether to search for likely duplicates, which reads all parts.
        uploads: Where to list unfinished uploads; None not to.
        part_requests: The maximum number of requests for the sizes of uploads.
        usage: The aggregate of the inventory, with `USAGE_SCHEMA`; None if it has none.
        minimum_bytes: What an object is billed for at least, by storage class.
        prices: What storage costs.
        prices_label: Which prices these are.
        is_kept: Whether to keep the findings of parts.
    """

    duplicates: bool = False
    uploads: UploadSource | None = None
    part_requests: int = 0
    usage: pa.Table | None = None
    minimum_bytes: Mapping[str, int] = field(default_factory=dict)
    prices: PriceTable = unknown_prices
    prices_label: str = ""
    is_kept: bool = True

    def with_prices(self, prices: Prices) -> "SurveyOptions":
        """The same, with the costs and minimum sizes of a price table."""
        return replace(
            self,
            minimum_bytes=minimum_bytes(prices),
            prices=priced_by(prices),
            prices_label=prices.label,
        )


def survey(surveyed: Surveyed, options: SurveyOptions, now: datetime) -> HygieneReport:
    """Make the hygiene report of an inventory.

    Args:
        surveyed: The inventory.
        options: What else to search for.
        now: The time.

    Raises:
        CorruptRecord: A part is missing or damaged.
        S3Error: Uploads cannot be listed, although the store knows them.
    """
    store, parts, layout = surveyed.store, surveyed.parts, surveyed.layout
    found = merge_findings(
        parts,
        (
            part_findings(store, layout, part, is_kept=options.is_kept)
            if layout
            else compute_findings(part, row_groups(store, part))
            for part in parts
        ),
    )
    price = options.prices(found.totals)
    findings = list(findings_of(found, price, of_versions=surveyed.of_versions))
    left_out: list[str] = []
    if not surveyed.of_versions:
        left_out.append("noncurrent versions and delete markers: versions are not listed")
    if options.duplicates:
        with store.scratch() as folder:
            findings.append(finding_of(DUPLICATES, find_duplicates(store, parts, folder), price))
    else:
        left_out.append(f"{TITLES[DUPLICATES].lower()}: hygiene.duplicates is not set")
    if options.usage is not None:
        day = surveyed.day or now.date()
        findings += usage_findings(options.usage, day, price, options.minimum_bytes)
    else:
        names = f"{TITLES[SMALL].lower()}, {TITLES[UNTOUCHED]}"
        left_out.append(f"{names}: no usage by prefix was computed")
    ages: UploadAges | None = None
    if options.uploads is None:
        left_out.append(f"{TITLES[UPLOADS].lower()}: hygiene.multipart_uploads is not set")
    else:
        try:
            of_uploads, ages = survey_uploads(
                options.uploads, surveyed.prefix, now, options.part_requests, price
            )
            findings.append(of_uploads)
        except UploadsUnavailable as error:
            left_out.append(f"{TITLES[UPLOADS].lower()}: {error}")
    return HygieneReport(
        bucket=surveyed.bucket,
        source=layout.source if layout else "",
        day=surveyed.day,
        manifest_identity=surveyed.manifest_identity,
        created_at=now,
        objects=found.objects,
        bytes=found.bytes,
        findings=in_order(findings),
        largest=found.largest,
        crowded=crowded_prefixes(found),
        skew=skew_of(found),
        uploads=ages,
        prices=options.prices_label,
        left_out=tuple(left_out),
    )


def publish_report(
    store: Store, layout: Layout, manifest: Manifest, options: SurveyOptions, now: datetime
) -> HygieneReport:
    """Make and publish the hygiene report of a date, replacing an earlier one.

    Raises:
        CorruptRecord: A part is missing or damaged.
        S3Error: Uploads cannot be listed, although the store knows them.
        StoreError: The store of results cannot be used.
    """
    report = survey(Surveyed.of_manifest(store, layout, manifest), options, now)
    publish(store, HYGIENE.file(layout.hygiene(manifest.day), report))
    return report


def read_report(store: Store, layout: Layout, day: date) -> HygieneReport | None:
    """The hygiene report of a date; None if none was published.

    Raises:
        CorruptRecord: It is damaged, or of another format.
    """
    return HYGIENE.read(store, layout.hygiene(day))
