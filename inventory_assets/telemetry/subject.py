"""What is observed, as telemetry may say it: no key and no prefix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from inventory_assets.telemetry.conventions import BUCKET, SERVER_ADDRESS, SERVER_PORT, SOURCE

_AWS = "s3.amazonaws.com"

RunValue = str | int | Sequence[str]


class Work(StrEnum):
    """What a run does with a bucket."""

    LISTING = "listing"
    METADATA = "metadata"
    """It asks for the metadata of objects. This lists no keys."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that is observed.

    Attributes:
        attributes: Of its run and of all its metrics; few values, which do not change from run to
            run.
        run: Further attributes of its run, such as its dates.
        work: What it does.
    """

    attributes: Mapping[str, str | int]
    run: Mapping[str, RunValue] = field(default_factory=dict)
    work: Work = Work.LISTING


def subject_of(
    bucket: str,
    endpoint_url: str | None,
    source: str | None = None,
    run: Mapping[str, RunValue] | None = None,
    work: Work = Work.LISTING,
) -> Subject:
    """The run over a bucket; the user name and path of its endpoint's URL are left out."""
    parts = urlsplit(endpoint_url or f"https://{_AWS}")
    attributes: dict[str, str | int] = {
        BUCKET: bucket,
        SERVER_ADDRESS: parts.hostname or _AWS,
        SERVER_PORT: parts.port or (80 if parts.scheme == "http" else 443),
    }
    if source is not None:
        attributes[SOURCE] = source
    return Subject(attributes, run or {}, work)
