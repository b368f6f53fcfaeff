"""What nobody in the demo bucket looks after: surveys that grow, backups, unfinished uploads.

A survey starts every two weeks, and stores images for four. So on every date there is one that grew
by half or more within a week. Each image has a small preview in STANDARD_IA, where small objects
are billed as if they were larger. Databases are dumped every night to the same keys, so nearly all
bytes of the dumps are in noncurrent versions. Some uploads were never completed.
"""

import datetime as dt
from collections.abc import Iterator, Sequence

from inventory_assets.demo.values import (
    PART_BYTES,
    DemoObject,
    DemoUpload,
    digest,
    e_tag,
    settled,
    share,
    version_id,
)

SURVEY_EVERY_DAYS = 14
SURVEY_DAYS = 28
"""The days on which a survey stores images."""
IMAGE_DAYS = 30
"""The days for which an image is kept."""
IMAGES_PER_DAY = 5
IMAGE_BYTES = 700_000_000
PREVIEWS_PER_IMAGE = 2
PREVIEW_BYTES = 24_000

DATABASES = ("accounts", "billing", "catalogue", "orders", "sessions", "warehouse")
DUMP_BYTES = 500_000_000
DUMPS_AT_LEAST = 36
"""The versions of a dump that are kept when somebody cleans up."""
DUMPS_CLEANED_EVERY_DAYS = 56

UPLOADS_EVERY_DAYS = 9
UPLOADS_FOR_DAYS = 90
"""The days for which an unfinished upload stays."""
PARTS_AT_MOST = 60

_SPREAD = 0.2
"""Sizes differ by at most this share from the usual one, up or down."""


def survey_objects(day: int) -> Iterator[DemoObject]:
    """The images and previews of all surveys on a day."""
    for taken in range(day - IMAGE_DAYS + 1, day + 1):
        latest = taken - taken % SURVEY_EVERY_DAYS
        for start in range(latest, taken - SURVEY_DAYS, -SURVEY_EVERY_DAYS):
            folder = f"surveys/sky/{dt.date.fromordinal(start).isoformat()}"
            name = dt.date.fromordinal(taken).strftime("%m%d")
            for image in range(IMAGES_PER_DAY):
                key = f"{folder}/images/{name}-{image}.fits"
                yield _object(key, taken, IMAGE_BYTES, "STANDARD")
                for preview in range(PREVIEWS_PER_IMAGE):
                    key = f"{folder}/previews/{name}-{image}-{preview}.jpg"
                    yield _object(key, taken, PREVIEW_BYTES, "STANDARD_IA")


def backup_versions(day: int) -> Iterator[tuple[str, Sequence[DemoObject]]]:
    """The dumps of databases on a day by key, each with its versions, newest first."""
    kept = DUMPS_AT_LEAST + day % DUMPS_CLEANED_EVERY_DAYS
    for name in DATABASES:
        key = f"backups/databases/{name}.dump"
        dumped = range(day, day - kept, -1)
        yield key, [_object(key, on, DUMP_BYTES, "STANDARD") for on in dumped]


def demo_uploads(day: dt.date) -> tuple[DemoUpload, ...]:
    """The uploads that are unfinished from `SETTLED_AT` of `day` on, sorted by key."""
    return tuple(sorted(_uploads(day.toordinal()), key=lambda upload: upload.key))


def _uploads(day: int) -> Iterator[DemoUpload]:
    for began in range(day - UPLOADS_FOR_DAYS + 1, day + 1):
        if began % UPLOADS_EVERY_DAYS:
            continue
        date = dt.date.fromordinal(began).isoformat()
        for key in (f"backups/archive/{date}.tar", f"surveys/sky/uploads/{date}.fits"):
            drawn = digest("upload", key)
            count = 1 + drawn[0] % PARTS_AT_MOST
            yield DemoUpload(key, drawn[:16].hex(), _moment(key, began), [PART_BYTES] * count)


def _object(key: str, day: int, usual: int, storage_class: str) -> DemoObject:
    size = int(usual * (1 - _SPREAD + 2 * _SPREAD * share("size", key, day)))
    return DemoObject(
        key=key,
        size=size,
        last_modified=_moment(key, day),
        e_tag=e_tag(size, digest("content", key, day)[:16].hex()),
        storage_class=storage_class,
        version_id=version_id(key, day),
        metadata={},
        checksum_algorithm=None,
    )


def _moment(key: str, day: int) -> dt.datetime:
    """A time in the hour before all events of a day have ended."""
    return settled(day) - dt.timedelta(seconds=int(3600 * share("moment", key, day)))
