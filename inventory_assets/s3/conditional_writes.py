"""Which conditions a store heeds when an object is written, found by trying them.

AWS compares `If-Match` with the ETag in its quotes, and refuses a write whose condition does not
hold (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). Ceph RGW
compares it with the ETag as it keeps it, without quotes, so that a quoted one never matches. Other
stores ignore conditions, or answer any with an error.
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
"""The status of a write on a condition that met another write; it may be sent again."""

CONFLICT_ATTEMPTS = 5
"""Times that such a write is sent at most."""

_WRONG_ETAG = "0123456789abcdef0123456789abcdef"
_IF_NEW = {"IfNoneMatch": "*"}


class ConditionalWrites(StrEnum):
    """How a store takes conditions on PutObject."""

    QUOTED = "quoted"
    """As AWS: `If-Match` with the ETag in quotes."""
    UNQUOTED = "unquoted"
    """`If-Match` with the ETag without quotes."""
    UNSUPPORTED = "unsupported"
    """A write on a condition is refused although the condition holds."""
    IGNORED = "ignored"
    """A write is made although its condition does not hold."""

    @property
    def are_honoured(self) -> bool:
        """Whether a write can be made on a condition."""
        return self in (ConditionalWrites.QUOTED, ConditionalWrites.UNQUOTED)

    def if_match(self, etag: str) -> Mapping[str, str]:
        """The condition that an object still has this ETag, or is not there if that is empty."""
        if not etag:
            return _IF_NEW
        return {"IfMatch": etag if self is ConditionalWrites.UNQUOTED else f'"{etag}"'}


def probe_conditional_writes(objects: ObjectClient, folder: str) -> ConditionalWrites:
    """Find out how a store takes conditions; a store like AWS is sent five requests.

    An object of a few bytes is written under a name of its own, and removed in the end. Where the
    credentials do not allow to remove it, it stays.

    Args:
        objects: Of the bucket that is tried.
        folder: Where the object is written; no reader looks there.

    Raises:
        ObjectRequestFailed: The store cannot be written to at all, or was not well just then.
    """
    probe = _Probe(objects, folder)
    try:
        return probe.outcome()
    finally:
        probe.clean_up()


def wait_before_retry(attempt: int) -> None:
    """Wait a moment, longer after each attempt, so that two who met do not meet again."""
    time.sleep(random.uniform(0.2, 1) * 0.05 * 2**attempt)  # noqa: S311 - no secret


class _Probe:
    def __init__(self, objects: ObjectClient, folder: str) -> None:
        self._objects = objects
        self._folder = folder
        self._keys: list[str] = []

    def outcome(self) -> ConditionalWrites:
        etag = self._created()
        if etag is None:
            # A store that was not well for a moment must not be taken for one without conditions:
            # processes that think differently of a store do not keep out of each other's way.
            self._objects.write(self._keys[-1], b"plain")
            etag = self._created()
        if etag is None:
            return ConditionalWrites.UNSUPPORTED
        if self._is_made(b"created again", _IF_NEW):
            return ConditionalWrites.IGNORED
        for habit in (ConditionalWrites.QUOTED, ConditionalWrites.UNQUOTED):
            if self._is_made(b"wrong", habit.if_match(_WRONG_ETAG)):
                return ConditionalWrites.IGNORED
            if self._put(habit.encode(), habit.if_match(etag)):
                return habit
        self._objects.write(self._keys[-1], b"plain")  # were the credentials at fault, it is told
        return ConditionalWrites.UNSUPPORTED

    def clean_up(self) -> None:
        for key in self._keys:
            with suppress(S3Error):
                self._objects.remove(key)

    def _created(self) -> str | None:
        self._keys.append(f"{self._folder}/{uuid4().hex}")
        try:
            return self._put(b"created", _IF_NEW)
        except ObjectRequestFailed as error:
            if error.status is None:
                raise
            return None

    def _put(self, data: bytes, condition: Mapping[str, str]) -> str | None:
        """The ETag of what was written on a condition that holds, or None if it was refused."""
        key = self._keys[-1]
        for attempt in range(CONFLICT_ATTEMPTS):
            try:
                return self._objects.write(key, data, condition)
            except ObjectRequestFailed as error:
                _raise_unless_refused(error)
                if error.status != CONFLICT:
                    break
            wait_before_retry(attempt)
        # It may have been written, and sent again after its answer was lost.
        metadata = self._objects.head(key) if self._objects.read(key) == data else None
        return metadata.etag if metadata else None

    def _is_made(self, data: bytes, condition: Mapping[str, str]) -> bool:
        """Whether a write is made although its condition does not hold."""
        try:
            self._objects.write(self._keys[-1], data, condition)
        except ObjectRequestFailed as error:
            _raise_unless_refused(error)
            return False
        return True


def _raise_unless_refused(error: ObjectRequestFailed) -> None:
    if error.status is None or (error.status >= 500 and error.status != 501):
        raise error
