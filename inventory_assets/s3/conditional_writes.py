"""Probe whether and how a store supports conditional writes.

AWS compares `If-Match` with the quoted ETag and rejects a write whose condition does not hold
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Ceph RGW compares
it with the unquoted ETag, so a quoted one never matches. Other stores ignore conditions, or reject
every conditional write.
"""

import random
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from uuid import uuid4

from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.object_client import ObjectClient, ObjectRequestFailed

CONFLICT = 409
"""The status of a conditional write that ran at the same time as another; it can be retried."""

CONFLICT_ATTEMPTS = 5
"""Maximum attempts of such a write."""

_WRONG_ETAG = "0123456789abcdef0123456789abcdef"
_IF_NEW = {"IfNoneMatch": "*"}


class ConditionalWrites(StrEnum):
    """How a store handles conditions on PutObject."""

    QUOTED = "quoted"
    """As AWS: `If-Match` with the ETag in quotes."""
    UNQUOTED = "unquoted"
    """`If-Match` with the ETag without quotes."""
    UNSUPPORTED = "unsupported"
    """The store rejects a conditional write although its condition holds."""
    IGNORED = "ignored"
    """The store writes although the condition does not hold."""

    @property
    def are_honoured(self) -> bool:
        """Whether conditional writes work."""
        return self in (ConditionalWrites.QUOTED, ConditionalWrites.UNQUOTED)

    def if_match(self, etag: str) -> Mapping[str, str]:
        """The condition that the object has this ETag, or does not exist if `etag` is empty."""
        if not etag:
            return _IF_NEW
        return {"IfMatch": etag if self is ConditionalWrites.UNQUOTED else f'"{etag}"'}


def probe_conditional_writes(objects: ObjectClient, folder: str) -> ConditionalWrites:
    """Find out how a store handles conditions; on a store like AWS this takes five requests.

    Writes a small object under a unique name and removes it afterwards. It remains if the
    credentials do not allow to remove it.

    Args:
        objects: The bucket to probe.
        folder: The folder for the object; no reader looks there.

    Raises:
        ObjectRequestFailed: The store cannot be written to, or is temporarily unavailable.
    """
    probe = _Probe(objects, folder)
    try:
        return probe.outcome()
    finally:
        probe.clean_up()


def wait_before_retry(attempt: int) -> None:
    """Sleep with jitter and exponential back-off, so that two writers do not collide again."""
    time.sleep(random.uniform(0.2, 1) * 0.05 * 2**attempt)  # noqa: S311 - no secret


class _Probe:
    def __init__(self, objects: ObjectClient, folder: str) -> None:
        self._objects = objects
        self._folder = folder
        self._keys: list[str] = []

    def outcome(self) -> ConditionalWrites:
        etag = self._create()
        if etag is None:
            # A transient error must not count as "unsupported": processes that disagree on the
            # store's support would overwrite each other's records.
            self._objects.write(self._keys[-1], b"plain")
            etag = self._create()
        if etag is None:
            return ConditionalWrites.UNSUPPORTED
        if self._is_written(b"created again", _IF_NEW):
            return ConditionalWrites.IGNORED
        for habit in (ConditionalWrites.QUOTED, ConditionalWrites.UNQUOTED):
            if self._is_written(b"wrong", habit.if_match(_WRONG_ETAG)):
                return ConditionalWrites.IGNORED
            if self._put(habit.encode(), habit.if_match(etag)):
                return habit
        self._objects.write(self._keys[-1], b"plain")  # raises if the credentials are the cause
        return ConditionalWrites.UNSUPPORTED

    def clean_up(self) -> None:
        for key in self._keys:
            with suppress(S3Error):
                self._objects.remove(key)

    def _create(self) -> str | None:
        self._keys.append(f"{self._folder}/{uuid4().hex}")
        try:
            return self._put(b"created", _IF_NEW)
        except ObjectRequestFailed as error:
            if error.status is None:
                raise
            return None

    def _put(self, data: bytes, condition: Mapping[str, str]) -> str | None:
        """Write on a condition that holds; return the new ETag, or None if the store rejects it."""
        key = self._keys[-1]
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                return self._objects.write(key, data, condition)
            except ObjectRequestFailed as error:
                _raise_unless_rejected(error)
                if error.status != CONFLICT:
                    break
            wait_before_retry(attempt)
        # The write may have succeeded, and been repeated after its response was lost.
        metadata = self._objects.head(key) if self._objects.read(key) == data else None
        return metadata.etag if metadata else None

    def _is_written(self, data: bytes, condition: Mapping[str, str]) -> bool:
        """Whether the store writes although the condition does not hold."""
        try:
            self._objects.write(self._keys[-1], data, condition)
        except ObjectRequestFailed as error:
            _raise_unless_rejected(error)
            return False
        return True


def _raise_unless_rejected(error: ObjectRequestFailed) -> None:
    if error.status is None or (error.status >= 500 and error.status != 501):
        raise error
