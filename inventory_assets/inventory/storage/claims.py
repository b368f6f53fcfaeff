"""How runs keep out of each other's way on a store that heeds no conditions of a write.

A run that wants to publish a record writes a claim first: an object of its own name in a folder of
the record. Then it lists the folder, and goes on only if its claim is the only one. Of two runs
each writes before it lists, so at least one of them sees the other; both never go on. That holds on
every store that lists what was written before, as S3 does.

A run that sees an earlier name withdraws, and tries again when the folder is empty; the one with
the earliest waits for the others to go. A claim that a killed run left counts for nothing after a
while, by the store's own clock. A run that was held up for so long finds its claim gone and says
so.
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
"""When a claim counts for nothing; far beyond what a claimed write takes with all its attempts."""

WRITE_WITHIN_SECONDS = 120
"""How old a claim may be when the write that it is for begins."""

WAIT_SECONDS = 60
"""How long to wait for the claims of others."""


class Claim:
    """A claim to write one record; used as a context once it is taken.

    Args:
        objects: Of the bucket.
        folder: Where the claims to the record lie, and nothing else.
        where: What the record is called in errors.
    """

    def __init__(self, objects: ObjectClient, folder: str, where: str) -> None:
        self._objects = objects
        self._folder = f"{folder}/"
        self._where = where
        self._key = ""
        self._began = _now()
        self._written = 0.0
        self._attempts = 0

    def take(self) -> bool:
        """Write the claim and see whether it is the only one; else withdraw it, and wait a moment.

        Raises:
            StoreError: Others held the record for too long, or the store lists too late.
            S3Error: A request failed.
        """
        if self._attempts and self._objects.written_at(self._folder):
            self._wait()
            return False
        # Names sort by the clock, so that the first who came stays; a wrong clock harms nobody.
        self._key, self._written = f"{self._folder}{time.time_ns():020}-{uuid4().hex}", _now()
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
        if _now() - self._began > WAIT_SECONDS:
            raise StoreError(
                f"cannot publish {self._where}: another run has been about to for {WAIT_SECONDS} "
                f"seconds; if it was killed, its claim in {self._folder} counts for nothing "
                f"{STALE_AFTER.seconds // 60} minutes after it was written; run it again then"
            )
        wait_before_retry(min(self._attempts, 4))

    def require_time(self) -> None:
        """Before the write: that the claim is fresh.

        Raises:
            StoreError: It is not; the run was held up.
        """
        if _now() - self._written > WRITE_WITHIN_SECONDS:
            raise self._held_up()

    def require_held(self) -> None:
        """After the write: that the claim is still there.

        Raises:
            StoreError: It is not, so that another run may have published meanwhile.
        """
        if self._objects.head(self._key) is None:
            raise self._held_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A write without an answer may arrive yet: then the claim stays until it is stale.
        is_over = error is None or isinstance(error, StoreError)
        if is_over or (isinstance(error, ObjectRequestFailed) and error.status is not None):
            self._objects.remove(self._key)

    def _others(self) -> list[str]:
        """The claims of others that count, in order of their names; stale ones are removed."""
        found = self._objects.written_at(self._folder)
        mine = found.pop(self._key, None)
        if mine is None:
            raise StoreError(
                f"cannot publish {self._where}: the store heeds no conditions of a write, and does "
                "not list at once what was written; keep results on another store, or in a folder"
            )
        stale = [key for key, written in found.items() if mine - written > STALE_AFTER]
        for key in stale:
            self._objects.remove(key)
        return sorted(found.keys() - set(stale))

    def _held_up(self) -> StoreError:
        return StoreError(
            f"cannot publish {self._where}: this run was held up for so long that another may have "
            "published it meanwhile; run it again"
        )


def _now() -> float:
    """Seconds, those that the machine slept among them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
