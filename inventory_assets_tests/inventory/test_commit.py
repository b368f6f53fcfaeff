"""Several runs publish the same records, in many orders."""

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, StoreError
from inventory_assets.inventory.storage.commit import Commit
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.store import NO_ETAG

HEAD = "head"
RECORDS = ("links", "document", "checksum")


class Turns:
    """Lets one thread run at a time, chosen at random."""

    def __init__(self, seed: int) -> None:
        self._chances = random.Random(seed)  # noqa: S311
        self._waiting: dict[int, threading.Event] = {}
        self._active = 0
        self._changed = threading.Condition()

    def wait(self) -> None:
        """Until it is this thread's turn."""
        turn = threading.Event()
        with self._changed:
            self._waiting[threading.get_ident()] = turn
            self._active -= 1
            self._changed.notify()
        turn.wait()

    def run(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks, of which one is at work at a time."""

        @contextmanager
        def active() -> Iterator[None]:
            try:
                yield
            finally:
                with self._changed:
                    self._active -= 1
                    self._changed.notify()

        def work(task: Callable[[], None]) -> None:
            with active():
                self.wait()
                task()

        threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
        self._active = len(threads)
        for thread in threads:
            thread.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._active == 0)
                if not self._waiting:
                    break
                ident = self._chances.choice(sorted(self._waiting))
                turn = self._waiting.pop(ident)
                self._active = 1
            turn.set()
        for thread in threads:
            thread.join()


class StoreInTurns(LocalStore):
    """A store in which each read and each conditional write is one turn."""

    def __init__(self, store: LocalStore, turns: Turns) -> None:
        super().__init__(store.root)
        self._turns = turns
        self._is_nested = threading.local()

    def etag(self, key: str) -> str:
        if not getattr(self._is_nested, "value", False):
            self._turns.wait()
        return super().etag(key)

    def put_if_match(self, key: str, data: bytes, version: str) -> str:
        self._turns.wait()
        self._is_nested.value = True
        try:
            return super().put_if_match(key, data, version)
        finally:
            self._is_nested.value = False


def publish(store: LocalStore, name: str) -> None:
    """The steps of a run: read, work, publish."""
    version = store.etag(HEAD)
    publication = Commit.begin(store, HEAD, f"{HEAD} of {name}".encode(), version)
    for record in RECORDS:
        publication.publish(record, f"{record} of {name}".encode())


def read_all(store: LocalStore) -> list[str]:
    """The run that wrote each record."""
    return [(store.read(key) or b"").decode().partition(" of ")[2] for key in (HEAD, *RECORDS)]


@given(seed=st.integers(0, 10**6), runs=st.integers(1, 4))
def test_all_records_are_of_the_one_run_that_succeeded(
    roomy_store: LocalStore, seed: int, runs: int
) -> None:
    for key in (HEAD, *RECORDS):
        roomy_store.remove_key(key)
    turns = Turns(seed)
    published: list[str] = []

    def task(name: str) -> Callable[[], None]:
        def run() -> None:
            try:
                publish(StoreInTurns(roomy_store, turns), name)
            except ConflictError:
                return
            published.append(name)

        return run

    turns.run([task(str(number)) for number in range(runs)])
    assert published
    assert set(read_all(roomy_store)) == {published[-1]}


def test_of_runs_that_began_together_the_first_publishes(store: LocalStore) -> None:
    first = Commit.begin(store, HEAD, b"1", NO_ETAG)
    with pytest.raises(ConflictError):
        Commit.begin(store, HEAD, b"2", NO_ETAG)
    first.publish("document", b"1")
    assert store.read("document") == b"1"


def test_a_run_whose_head_was_replaced_writes_nothing_more(store: LocalStore) -> None:
    first = Commit.begin(store, HEAD, b"1", NO_ETAG)
    Commit.begin(store, HEAD, b"2", store.etag(HEAD)).publish("document", b"2")
    with pytest.raises(ConflictError, match="head was published by another run"):
        first.publish("document", b"1")
    assert store.read("document") == b"2"


def test_a_conflict_is_a_store_error() -> None:
    assert issubclass(ConflictError, StoreError)
