"""Mutual exclusion of runs on a store that ignores conditional writes.

A run that wants to publish a record first writes a claim: an object with a unique name in a folder
of the record. Then it lists the folder, and continues only if its claim is the only one. Each run
writes before it lists, so of two runs at least one sees the other, and never do both continue. This
holds on every store with list-after-write consistency, such as S3.

A run that sees an earlier claim withdraws its own and tries again when the folder is empty. The run
with the earliest claim waits until the others have withdrawn. A claim of a killed run expires after
a while, by the clock of the store. A run that was delayed for so long finds its claim removed and
fails.
"""

import time
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Self
from uuid import uuid4

from inventory_assets.inventory.errors import StoreError
from inventory_assets.s3.conditional_writes import wait_before_retry
from inventory_assets.s3.errors import S3Error
from inventory_assets.s3.object_client import ObjectClient, ObjectRequestFailed

STALE_AFTER = timedelta(minutes=15)
"""The age at which a claim expires; a claimed write with all its retries takes far less."""

WRITE_WITHIN_SECONDS = 120
"""The greatest age of a claim at the start of its write."""

WAIT_SECONDS = 60
"""How long to wait for the claims of other runs."""


class Claim:
    """A claim to write one record; used as a context once it is taken.

    Args:
        objects: The client of the bucket.
        folder: The folder of the claims to the record, which holds no other objects.
        where: The name of the record in errors.
    """

    def __init__(self, objects: ObjectClient, folder: str, where: str) -> None:
        self._objects = objects
        self._folder = f"{folder}/"
        self._where = where
        self._key = ""
        self._began = boot_clock()
        self._written = 0.0
        self._attempts = 0

    def acquire(self) -> bool:
        """Write the claim; withdraw it and wait a moment if it is not the only one.

        Raises:
            StoreError: Others held the record for too long, or the store lists too late.
            S3Error: A request failed.
        """
        if self._attempts and self._objects.written_at(self._folder):
            self._wait()
            return False
        # Names sort by time, so the earliest claim remains. A wrong clock only changes which one.
        self._key, self._written = f"{self._folder}{time.time_ns():020}-{uuid4().hex}", boot_clock()
        self._objects.write(self._key, b"")
        try:
            while others := self._others():
                self._wait()
                if others[0] < self._key:
                    self._objects.remove(self._key)
                    return False
        except BaseException:
            with suppress(S3Error):
                self._objects.remove(self._key)
            raise
        return True

    def _wait(self) -> None:
        self._attempts += 1
        if boot_clock() - self._began > WAIT_SECONDS:
            raise StoreError(
                f"cannot publish {self._where}: another run has had a claim to it for "
                f"{WAIT_SECONDS} seconds; if that run was killed, its claim in {self._folder} "
                f"expires {STALE_AFTER.seconds // 60} minutes after it was written; run it again "
                "then"
            )
        wait_before_retry(min(self._attempts, 4))

    def require_time(self) -> None:
        """Require, before the write, that the claim is fresh.

        Raises:
            StoreError: It is too old, as the run was delayed.
        """
        if boot_clock() - self._written > WRITE_WITHIN_SECONDS:
            raise self._delayed()

    def require_held(self) -> None:
        """Require, after the write, that the claim is still there.

        Raises:
            StoreError: It was removed, so another run may have published meanwhile.
        """
        if self._objects.head(self._key) is None:
            raise self._delayed()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A write without a response may still arrive: then the claim stays until it expires.
        is_over = error is None or isinstance(error, StoreError)
        if is_over or (isinstance(error, ObjectRequestFailed) and error.status is not None):
            self._objects.remove(self._key)

    def _others(self) -> list[str]:
        """The claims of others, in order of their names; expired ones are removed."""
        found = self._objects.written_at(self._folder)
        mine = found.pop(self._key, None)
        if mine is None:
            raise StoreError(
                f"cannot publish {self._where}: the store ignores conditional writes, and does "
                "not list new objects at once; keep results on another store, or in a folder"
            )
        stale = [key for key, written in found.items() if mine - written > STALE_AFTER]
        for key in stale:
            self._objects.remove(key)
        return sorted(found.keys() - set(stale))

    def _delayed(self) -> StoreError:
        return StoreError(
            f"cannot publish {self._where}: this run was delayed for so long that another run may "
            "have published it meanwhile; run it again"
        )


def boot_clock() -> float:
    """A monotonic clock in seconds, which also counts the time in which the machine slept."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
