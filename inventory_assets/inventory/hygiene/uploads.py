"""Survey the unfinished multipart uploads of a bucket: how many, how old, how large, and where."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.hygiene.findings import EXAMPLES, StorageTotal
from inventory_assets.inventory.hygiene.prefix_counts import (
    PrefixCounts,
    PrefixShare,
    worst_prefixes,
)
from inventory_assets.inventory.hygiene.report import (
    TITLES,
    UPLOADS,
    Finding,
    OldUpload,
    StoragePrice,
    UploadAges,
)
from inventory_assets.inventory.parts.schema import NO_STORAGE_CLASS
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS
from inventory_assets.s3.upload_client import Upload, UploadSource

OLDEST = 20
"""Uploads that are shown, from the oldest on."""

AGES = (1, 7, 30, 365)
"""Ages by which uploads are counted, in days."""


def survey_uploads(
    source: UploadSource, prefix: str, now: datetime, requests: int, price: StoragePrice
) -> tuple[Finding, UploadAges]:
    """List the unfinished uploads, and ask for the sizes of the oldest.

    Memory is bounded by `requests`, whatever the number of uploads.

    Args:
        source: The bucket.
        prefix: Only uploads of keys with this prefix.
        now: The time, to which ages are relative.
        requests: The maximum number of requests for sizes.
        price: What storage costs.

    Raises:
        UploadsUnavailable: The store does not list uploads, or does not allow it.
        S3Error: Another error.
    """
    counts = PrefixCounts(is_cumulative=True)
    ages: Counter[int] = Counter()
    total, first_key = 0, ""
    examples: list[str] = []
    oldest: list[Upload] = []
    for page in source.pages(prefix):
        first_key = first_key or page[0].key
        total += len(page)
        counts.add(pa.array([upload.key for upload in page]), np.zeros(len(page), np.int64))
        counts.prune(first_key, page[-1].key)
        ages.update(_older(page, now))
        examples = [*examples, *(upload.key for upload in page[:EXAMPLES])][:EXAMPLES]
        oldest = heapq.nsmallest(max(requests, OLDEST), [*oldest, *page], key=_age)
    sizes, sent = _sizes(source, oldest, requests)
    gone = [upload for upload, (_, is_gone) in zip(oldest, sizes, strict=False) if is_gone]
    ages.subtract(_older(gone, now))
    left = [
        _SizedUpload(upload, size)
        for upload, (size, is_gone) in zip(oldest, sizes, strict=True)
        if not is_gone
    ]
    known = [each for each in left if each.bytes is not None]
    count = total - len(gone)
    finding = Finding(
        name=UPLOADS,
        title=TITLES[UPLOADS],
        objects=count,
        bytes=sum(each.bytes or 0 for each in known) if known or not count else None,
        monthly_usd=price([*map(_total, known)]) if known or not count else None,
        worst=_worst(counts, gone, known),
        examples=tuple(examples),
        unsized=count - len(known),
    )
    return finding, UploadAges(
        tuple((days, ages[days]) for days in AGES),
        tuple(
            OldUpload(each.upload.key, each.upload.initiated, each.bytes) for each in left[:OLDEST]
        ),
        len(gone),
        sent,
    )


@dataclass(frozen=True, slots=True)
class _SizedUpload:
    """An upload that is still there, and the bytes of its parts; None if they are unknown."""

    upload: Upload
    bytes: int | None


def _older(uploads: Iterable[Upload], now: datetime) -> Counter[int]:
    """The number of uploads older than each of `AGES`."""
    ages = [now - upload.initiated for upload in uploads]
    return Counter({days: sum(age > timedelta(days=days) for age in ages) for days in AGES})


def _age(upload: Upload) -> tuple[datetime, str, str]:
    return upload.initiated, upload.key, upload.upload_id


def _sizes(
    source: UploadSource, uploads: Iterable[Upload], requests: int
) -> tuple[list[tuple[int | None, bool]], int]:
    """The size of each upload and whether it is gone, and the requests that were sent."""
    sizes: list[tuple[int | None, bool]] = []
    sent = 0
    for upload in uploads:
        if sent >= requests:
            sizes.append((None, False))
            continue
        found = source.size(upload, requests - sent)
        sent += found.requests
        sizes.append((found.bytes, found.is_gone))
    return sizes, sent


def _total(sized: _SizedUpload) -> StorageTotal:
    size = sized.bytes or 0
    band = int(np.searchsorted(SIZE_BOUNDS, size, "right"))
    return StorageTotal(sized.upload.storage_class or NO_STORAGE_CLASS, band, 1, size)


def _worst(
    counts: PrefixCounts, gone: Sequence[Upload], known: Sequence[_SizedUpload]
) -> tuple[PrefixShare, ...]:
    """The prefixes with most uploads; their bytes are known if those of all uploads in them are."""
    shares = []
    for share in worst_prefixes(counts.top(), lambda share: share.objects):
        left = share.objects - sum(upload.key.startswith(share.prefix) for upload in gone)
        sizes = [each.bytes or 0 for each in known if each.upload.key.startswith(share.prefix)]
        size = sum(sizes) if len(sizes) == left else None
        if left:
            shares.append(replace(share, objects=left, bytes=size))
    return tuple(shares)
