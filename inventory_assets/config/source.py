"""The tables `[sources.<name>]`: what to inventory, how and when."""

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from inventory_assets.config.alerts import Alerts
from inventory_assets.config.field_forms import AddressingStyle, EndpointUrl, form
from inventory_assets.config.gate import Gate
from inventory_assets.config.growth import Growth
from inventory_assets.config.metadata import Metadata
from inventory_assets.config.schedule import MAX_RUNS, Schedule, Shards, estimated_partitions
from inventory_assets.config.strict import StrictTable as _Table
from inventory_assets.config.wording import VERSIONS_IN_DIRECTORIES, describe_value

LIFECYCLE_OF_BUCKET = "bucket"
MAX_PARTITIONS = 100_000  # Dagster's recommendation for an asset
MANY_PARTITIONS = 50_000
MAX_PREFIX_BYTES = 1024  # longest key: docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys


SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Exports(_Table):
    """The formats in which each date is published in addition to Parquet."""

    csv_inventory: bool = False
    """Whether to publish each date also as an S3 Inventory with CSV files."""
    files: Annotated[
        tuple[Annotated[str, form("files")], ...], Field(strict=False, examples=[["csv.gz"]])
    ] = ()
    """Formats for one sorted file per date, by suffix; a CSV dialect may precede it."""
    metadata: bool = False
    """Whether they have the metadata of the objects, too; needs the table `metadata`."""

    def __bool__(self) -> bool:
        """Whether there is anything to export."""
        return self.csv_inventory or bool(self.files)


class Hygiene(_Table):
    """What is searched for in each date's inventory: waste, and keys that hurt."""

    enabled: bool = True
    """Whether each date has a hygiene report; it reads each new part once."""
    duplicates: bool = False
    """Whether to search for objects with equal ETag and size, which reads all parts of a date."""
    multipart_uploads: bool = False
    """Whether to list the unfinished multipart uploads of the bucket."""
    part_requests: Annotated[int, Field(ge=0, le=1_000_000)] = 1_000
    """Maximum requests a date for the sizes of unfinished uploads, the oldest first."""


class Retention(_Table):
    """How long the inventories of a source are kept; without both fields, for ever."""

    keep_days: Annotated[int | None, Field(ge=1, le=36_500, examples=[400])] = None
    """Number of days, including today, whose inventories are kept."""
    keep_last: Annotated[int | None, Field(ge=1, le=36_500, examples=[30])] = None
    """Number of newest complete inventories that are kept, with all dates since."""


class Budget(_Table):
    """What a listing may cost; a run that is expected to cost more does not start."""

    requests: Annotated[int | None, Field(ge=1, examples=[100_000])] = None
    """Maximum LIST requests of a run, as the newest manifest lets expect."""
    usd: Annotated[float | None, Field(examples=[0.5])] = None
    """Maximum price of these requests in USD, by the source's price table."""

    @field_validator("usd")
    @classmethod
    def _usd_is_an_amount(cls, usd: float | None) -> float | None:
        if usd is not None and not 0 < usd < math.inf:
            raise ValueError(
                f"found {describe_value(usd)}, expected a number above 0; write for example "
                "usd = 0.5, or remove it"
            )
        return usd


class SourceTable(_Table):
    """One bucket, or the keys with one prefix in it, and how it is inventoried."""

    model_config = ConfigDict(title="Source")

    bucket: Annotated[str, form("bucket")]
    """The bucket's name."""
    prefix: str = ""
    """Only keys that start with this prefix are inventoried."""
    folder: Annotated[SourceName | None, Field(examples=["old_name"])] = None
    """The name of its folder in the store, for a renamed source; without it, the source's name."""
    endpoint_url: EndpointUrl = None
    """The URL of an S3-compatible store; without it, AWS."""
    region: Annotated[str | None, form("region")] = None
    """The bucket's region; without it, that of the AWS configuration."""
    profile: Annotated[str | None, form("profile")] = None
    """The AWS profile to take credentials from."""
    role_arn: Annotated[str | None, form("role_arn")] = None
    """The role to assume before listing."""
    external_id: Annotated[str | None, form("external_id")] = None
    """The external ID that the role's trust policy requires; only with `role_arn`."""
    anonymous: bool = False
    """Whether to send unsigned requests, as public buckets allow; excludes all credentials."""
    requester_pays: bool = False
    """Whether to accept that the requester pays for the requests."""
    addressing_style: AddressingStyle = "auto"
    """Whether the bucket's name is in the path or the host name of the URL; 'auto' chooses."""
    key_order: Literal["auto", "bytes", "directory"] = "auto"
    """The order the store lists keys in: UTF-8 byte order, or folder by folder; 'auto' detects."""
    versions: bool = False
    """Whether to list all versions and delete markers, so that past dates can be reconstructed."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 32
    """Maximum requests in flight for this source in one process; with several runs, in all."""
    concurrency_policy: Literal["adaptive", "pid", "fixed"] = "adaptive"
    """How the limit of requests in flight is adjusted; see docs/concurrency.md."""
    max_outage_seconds: Annotated[int, Field(ge=0, le=86_400)] = 1_800
    """How long a failing request is retried before the listing fails."""
    shards: Shards = Shards()
    """How the source is divided into shards; at most 100,000 partitions by date and shard."""
    schedule: Schedule = Field(default_factory=Schedule)  # TOML cannot express its defaults
    """When the source is inventoried."""
    metadata: Metadata | None = None
    """What is asked of each object, besides its listing; without this table, nothing."""
    exports: Exports = Exports()
    """Further formats in which each date is published."""
    encodings: Literal["compact", "plain"] = "compact"
    """How Parquet files are encoded: compactly, or for readers without delta encodings."""
    hygiene: Hygiene = Hygiene()
    """What the hygiene report of each date searches for."""
    growth: Growth = Growth()
    """Which changes from a date to the next are told by a check."""
    gate: Gate = Field(default_factory=Gate)  # TOML cannot express its defaults
    """Which dates are held until a person releases them."""
    alerts: Alerts | None = None
    """Who is told of failed runs, and of late, held and odd dates."""
    iceberg: bool = False
    """Whether to maintain Iceberg tables over the same files."""
    retention: Retention = Field(default_factory=Retention)  # TOML cannot express its defaults
    """How long its inventories are kept."""
    budget: Budget = Field(default_factory=Budget)  # TOML cannot express its defaults
    """What a run that lists it may cost."""
    lifecycle: Annotated[str | None, form("lifecycle")] = None
    """The lifecycle rules to simulate: a file of S3's JSON, or "bucket" for those of the bucket."""
    prices: Annotated[str | None, form("prices")] = None
    """The price table, relative to the folder of this file; without it, S3's list prices."""

    # Checks across fields are field validators that read earlier fields. Model validators would run
    # only if all fields are valid, and so not all mistakes would be reported at once.

    @field_validator("bucket", mode="before")
    @classmethod
    def _bucket_can_be_listed_in_order(cls, bucket: object) -> object:
        if not isinstance(bucket, str):
            return bucket
        if bucket.startswith("arn:"):
            expected = "a bucket's name: ARNs and access points are not supported; name the bucket"
        elif "://" in bucket:
            expected = "only the bucket's name; put the rest of the URL into 'prefix'"
        elif bucket.endswith(("--x-s3", "--xa-s3")):
            expected = (
                "a general purpose bucket: directory buckets do not list their keys in order and"
                " are not supported yet; name another bucket"
            )
        elif ".." in bucket or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", bucket):
            expected = "a bucket name without '..' that is not an IP address; correct the name"
        else:
            return bucket
        raise ValueError(f"found {describe_value(bucket)}, expected {expected}")

    @field_validator("prefix")
    @classmethod
    def _prefix_is_no_longer_than_a_key(cls, prefix: str) -> str:
        if (size := len(prefix.encode())) > MAX_PREFIX_BYTES:
            raise ValueError(
                f"found {size} bytes, expected at most {MAX_PREFIX_BYTES} bytes of UTF-8, the"
                " length of the longest key; shorten the prefix"
            )
        return prefix

    @field_validator("alerts")
    @classmethod
    def _alerts_tell_someone(cls, alerts: Alerts | None) -> Alerts | None:
        if alerts is not None and not alerts.tells_someone:
            raise ValueError(
                "found nobody who would be told, expected one or more; add webhook_env, slack_env "
                "or a table for email, or remove the table"
            )
        return alerts

    @field_validator("external_id")
    @classmethod
    def _external_id_has_a_role(cls, external_id: str | None, info: ValidationInfo) -> str | None:
        if external_id is not None and info.data.get("role_arn", "mistaken") is None:
            raise ValueError("found without role_arn, expected with it; add role_arn or remove it")
        return external_id

    @field_validator("anonymous")
    @classmethod
    def _anonymous_has_no_identity(cls, anonymous: bool, info: ValidationInfo) -> bool:
        names = ("profile", "role_arn", "external_id")
        if given := ", ".join(name for name in names if anonymous and info.data.get(name)):
            raise ValueError(
                f"found true together with {given}, expected unsigned requests without an"
                f" identity; remove {given} or set anonymous = false"
            )
        return anonymous

    @field_validator("exports")
    @classmethod
    def _exported_metadata_is_collected(cls, exports: Exports, info: ValidationInfo) -> Exports:
        if exports.metadata and info.data.get("metadata", "mistaken") is None:
            raise ValueError(
                "found metadata = true without a table for metadata, expected objects that are "
                "asked for it; add [sources.<name>.metadata], or remove exports.metadata"
            )
        return exports

    @field_validator("shards")
    @classmethod
    def _shared_shards_are_listed_in_byte_order(
        cls, shards: Shards, info: ValidationInfo
    ) -> Shards:
        if shards.shared and info.data.get("key_order") == "directory":
            raise ValueError(
                'found shared = true with key_order = "directory", expected a store that lists in '
                "byte order, as runs cannot divide the keys of another; remove shared, or key_order"
                " if the store lists in byte order"
            )
        return shards

    @field_validator("schedule")
    @classmethod
    def _partitions_are_few(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        count = estimated_partitions(info.data.get("shards", Shards(depth=0)), schedule)
        if count > MAX_PARTITIONS:
            raise ValueError(
                f"found listing_window_days = {schedule.listing_window_days}, which makes up to "
                f"{count:,} partitions by date and shard, expected at most {MAX_PARTITIONS:,}; "
                "lower schedule.listing_window_days or shards.max_shards"
            )
        return schedule

    @field_validator("schedule")
    @classmethod
    def _each_run_may_send_a_request(cls, schedule: Schedule, info: ValidationInfo) -> Schedule:
        allowed = info.data.get("concurrency", MAX_RUNS)
        if schedule.runs > allowed:
            raise ValueError(
                f"found runs = {schedule.runs}, expected at most {allowed}, as these runs share "
                f"concurrency = {allowed} and each sends a request at a time; lower schedule.runs "
                "or raise concurrency"
            )
        return schedule

    @field_validator("versions")
    @classmethod
    def _versions_are_listed_in_byte_order(cls, versions: bool, info: ValidationInfo) -> bool:
        if versions and info.data.get("key_order") == "directory":
            raise ValueError(VERSIONS_IN_DIRECTORIES)
        return versions

    def resolved(self, folder: Path) -> dict[str, Any]:
        """The fields, with relative paths resolved against `folder`."""
        prices, lifecycle = self.prices, self.lifecycle
        if lifecycle not in {None, LIFECYCLE_OF_BUCKET}:
            lifecycle = str(folder / str(lifecycle))
        return {
            **dict(self),
            "prices": prices and str(folder / prices),
            "lifecycle": lifecycle,
        }


class Source(SourceTable):
    """One bucket, or the keys with one prefix in it, and how it is inventoried."""

    name: SourceName
    """The source's name: the key of its table in the file."""
    demo: bool = False
    """Whether this is the embedded demo; not a field of the file."""

    @property
    def folder_name(self) -> str:
        """The name of its folder in the store, below that of its bucket."""
        return self.folder or self.name

    @property
    def has_several_runs(self) -> bool:
        """Whether several runs may list it at the same time, on purpose."""
        return self.schedule.runs > 1 or self.shards.shared

    @property
    def growth_holds(self) -> bool:
        """Whether a fall or rise beyond the bounds of `growth` holds a date."""
        if self.gate.growth is not None:
            return self.gate.growth
        return bool(self.growth.model_fields_set & {"fell_percent", "rose_percent"})
