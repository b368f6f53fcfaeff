"""A participant that is paused at any operation, while others end the listing, harms nobody."""

import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.listing.shared_work import present_listings
from inventory_assets.inventory.manifest.snapshot import Snapshot, read_snapshot
from inventory_assets.inventory.retention.collector import execute, plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.fakes.simulated_bucket import Killed, Life, MortalStore
from inventory_assets_tests.inventory.killed_listings import KEYS, MODEL
from inventory_assets_tests.inventory.shared_shards.participants import (
    DAY,
    PATIENT,
    Participants,
    utc_now,
)

FEW = sorted(KEYS)[:80]
RECORD = MODEL.shared_listing(DAY, "")
Operation = tuple[str, str]
"""The name of an operation of a store, and its key."""


class PausedStore(LocalStore):
    """A store whose process is paused at one operation, and continues when others are done.

    Only the operations of the thread that lists are counted.

    Args:
        root: The folder.
        is_awaited: Whether to pause at an operation.
        meanwhile: What others do.
        after: Whether the operation is done before the pause.

    Attributes:
        paused_at: The operation at which it was paused.
    """

    def __init__(
        self,
        root: Path,
        is_awaited: Callable[[Operation], bool],
        meanwhile: Callable[[], object],
        *,
        after: bool = False,
    ) -> None:
        super().__init__(root)
        self.paused_at: Operation | None = None
        self._is_awaited, self._meanwhile, self._after = is_awaited, meanwhile, after
        self._thread = threading.get_ident()
        self._is_inside = False

    def do(self, name: str, *arguments: Any) -> Any:
        """Do an operation, and pause before or after it."""
        operation = getattr(LocalStore, name)
        if self._is_inside or threading.get_ident() != self._thread:
            return operation(self, *arguments)
        self._is_inside = True
        try:
            is_awaited = self._is_awaited((name, arguments[0])) and self.paused_at is None
            if is_awaited:
                self.paused_at = name, arguments[0]
            if is_awaited and not self._after:
                self._meanwhile()
            result = operation(self, *arguments)
            if is_awaited and self._after:
                self._meanwhile()
            return result
        finally:
            self._is_inside = False


def _operation(name: str) -> Any:
    def do(self: PausedStore, *arguments: Any) -> Any:
        return self.do(name, *arguments)

    return do


for _name in (
    "read",
    "etag",
    "size",
    "list_names",
    "files",
    "open",
    "publish",
    "put_if_match",
    "publish_file",
    "remove_key",
):
    setattr(PausedStore, _name, _operation(_name))


def published(those: Participants) -> Snapshot:
    found = read_snapshot(those.store, MODEL, DAY, "")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "part"),
    [("put_if_match", RECORD), ("read", "/summaries/"), ("put_if_match", "/snapshots/")],
)
@pytest.mark.parametrize("again", [False, True])
def test_it_takes_what_the_others_have_published(
    tmp_path: Path, name: str, part: str, again: bool
) -> None:
    """It was about to begin, to join the results, or to publish them."""
    those = Participants(tmp_path / "shared", [*FEW])

    def finish() -> None:
        for _ in range(1 + again):
            those.list_shard()

    store = PausedStore(those.root, lambda each: each[0] == name and part in each[1], finish)
    snapshot = those.list_shard(store=store)
    assert store.paused_at is not None
    assert those.keys_of(snapshot) == FEW
    assert snapshot == published(those)
    assert those.work() == []


def pause_at(those: Participants, number: int, *, after: bool, left: int | None) -> bool:
    """Pause a participant at an operation by its number; False if it has fewer.

    Args:
        those: The participants.
        number: The number of the operation.
        after: Whether it is paused after the operation.
        left: The writes of one that begins anew meanwhile, and is then killed; None for none.
    """
    since, numbers = utc_now(), count(1)

    def meanwhile() -> None:
        those.list_shard(since=since)
        if left is not None:
            mortal = MortalStore(those.root, Life(left))
            with pytest.raises(Killed):
                those.list_shard(store=mortal, options=PATIENT)

    store = PausedStore(those.root, lambda _: next(numbers) == number, meanwhile, after=after)
    snapshot = those.list_shard(store=store, since=since)
    if store.paused_at is None:
        return False
    if left is not None:
        snapshot = those.list_shard()
    assert those.keys_of(snapshot) == FEW, store.paused_at
    assert snapshot == published(those), store.paused_at
    assert present_listings(those.store, MODEL.shared_work(DAY)) == {}, store.paused_at
    now = utc_now()
    execute(those.store, plan_collection(those.store, MODEL, Retention(), DAY, now), utc_now)
    assert those.work() == [], store.paused_at
    return True


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("left", [None, 3, 12, 25])
def test_so_it_does_wherever_it_was_paused(tmp_path: Path, after: bool, left: int | None) -> None:
    """Others end the listing, and perhaps one begins anew and is killed soon."""
    numbers = count(1)
    while pause_at(
        Participants(tmp_path / str(number := next(numbers)), [*FEW]),
        number,
        after=after,
        left=left,
    ):
        pass
    assert number > 50
