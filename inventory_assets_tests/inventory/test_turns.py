"""Runs that publish the same record in a folder, at the same time, without locks."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory_assets.inventory.errors import ConflictError, StoreError
from inventory_assets.inventory.storage import local_store, turns
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.turns import Turn
from inventory_assets_tests.inventory.publishers import refuse_locks, run_publishers

STEPS = ("acquire", "look", "publish", "release", "die", "end")


@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STEPS)), max_size=60),
)
@settings(max_examples=200)
def test_each_run_replaces_only_the_record_it_read_in_any_interleaving(
    steps: list[tuple[int, str]],
) -> None:
    """Also if any run ends the turn of any other at any time."""
    with TemporaryDirectory() as root:
        runs = Runs(Path(root))
        for number, step in steps:
            getattr(runs, step)(number)


class Runs:
    """Numbered runs, each at some step of its turn, or without a turn."""

    def __init__(self, root: Path) -> None:
        self._scratch, self._target = root / "scratch", root / "record"
        self._scratch.mkdir()
        self._target.write_text("0")
        self._turns: dict[int, Turn] = {}
        self._looked: dict[int, str] = {}
        self._written = 0

    def acquire(self, number: int) -> None:
        if number in self._turns:
            return
        turn = Turn(self._scratch / "turn", Path(mkdtemp(dir=self._scratch)))
        self._written += 1
        turn.record.write_text(str(self._written))
        if turn.acquire():
            self._turns[number] = turn

    def look(self, number: int) -> None:
        if number in self._turns:
            self._looked[number] = self._target.read_text()

    def publish(self, number: int) -> None:
        if number not in self._looked:
            return
        before = self._target.read_text()
        looked = self._looked[number]
        if self.die(number).publish(self._target):
            assert looked == before

    def release(self, number: int) -> None:
        if number in self._turns:
            self.die(number).release()

    def die(self, number: int) -> Turn:
        self._looked.pop(number, None)
        return self._turns.pop(number, Turn(self._scratch / "no", self._scratch / "none"))

    def end(self, _number: int) -> None:
        """Another process ends the current turn."""
        for record in self._scratch.glob("turn/*"):
            record.unlink()


def test_only_one_run_has_the_turn_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "turn"
    first, second = (Turn(place, Path(mkdtemp(dir=tmp_path))) for _ in range(2))
    for turn in (first, second):
        turn.record.touch()
    assert first.acquire()
    assert not second.acquire()
    assert (first.is_mine, second.is_mine) == (True, False)
    first.release()
    assert second.acquire()
    first.release()
    assert second.publish(tmp_path / "record")
    second.release()
    assert not place.exists()


@pytest.mark.parametrize("one_is_killed", [False, True])
def test_exactly_one_of_concurrent_processes_publishes_without_locks(
    tmp_path: Path, one_is_killed: bool
) -> None:
    rounds = 2 if one_is_killed else 30
    store = LocalStore(tmp_path)
    for number in range(0, rounds, 2):
        store.publish(f"round-{number}", b"old")
    won = run_publishers(tmp_path, 3, rounds, one_is_killed=one_is_killed)
    assert [len(each) for each in won] == [1] * rounds
    assert [store.read(f"round-{number}") for number in range(rounds)] == [
        f"by {each[0]}".encode() for each in won
    ]
    assert set(store.list_names("")) == {".scratch"} | {f"round-{n}" for n in range(rounds)}


@given(
    is_new=st.booleans(),
    runs=st.integers(2, 6),
    delays=st.lists(st.floats(0, 0.004), min_size=6, max_size=6),
)
@settings(max_examples=25, deadline=None)
def test_exactly_one_of_concurrent_threads_publishes_without_locks(
    is_new: bool, runs: int, delays: list[float]
) -> None:
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        refuse_locks(patch.setattr)
        store = LocalStore(Path(root))
        if not is_new:
            store.publish("a/x", b"old")
        version = store.etag("a/x")
        start = threading.Barrier(runs)

        def publish(number: int) -> bytes | None:
            data = str(number).encode()
            start.wait()
            threading.Event().wait(delays[number])
            try:
                store.put_if_match("a/x", data, version)
            except ConflictError:
                return None
            return data

        with ThreadPoolExecutor(runs) as pool:
            published = [data for data in pool.map(publish, range(runs)) if data]
        assert [store.read("a/x")] == published
        assert store.list_names(".scratch") == []


def test_a_run_whose_turn_was_ended_cannot_publish(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is suspended, and continues after another has ended its turn."""
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.05)
    held, overtaken = threading.Event(), threading.Event()
    publish = Turn.publish

    def late(turn: Turn, target: Path) -> bool:
        if threading.current_thread() is slow:
            held.set()
            assert overtaken.wait(20)
        return publish(turn, target)

    monkeypatch.setattr(Turn, "publish", late)
    store.publish("x", b"old")
    version = store.etag("x")
    told: list[Exception] = []

    def publish_late() -> None:
        try:
            store.put_if_match("x", b"late", version)
        except ConflictError as error:
            told.append(error)

    slow = threading.Thread(target=publish_late)
    slow.start()
    assert held.wait(20)
    second = store.put_if_match("x", b"second", version)
    store.put_if_match("x", b"third", second)
    overtaken.set()
    slow.join()
    assert len(told) == 1
    assert store.read("x") == b"third"


def test_a_slow_run_takes_another_turn_if_the_record_is_unchanged(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, lost = Turn.publish, [1]

    def lose(turn: Turn, target: Path) -> bool:
        if lost:
            lost.pop()
            turn.release()
        return publish(turn, target)

    monkeypatch.setattr(Turn, "publish", lose)
    version = store.put_if_match("x", b"1", store.etag("x"))
    assert (lost, store.etag("x")) == ([], version)


def test_a_rename_whose_response_was_lost_is_recognized(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS repeats a request, and its response says that there is nothing to rename."""
    rename = Path.rename

    def twice(path: Path, target: Path) -> Path:
        rename(path, target)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", twice)
    first = store.put_if_match("x", b"1", store.etag("x"))
    store.put_if_match("x", b"2", first)
    assert store.read("x") == b"2"


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EACCES])
def test_a_file_system_that_cannot_replace_an_empty_folder_is_supported(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    rename = Path.rename

    def strict(path: Path, target: Path) -> Path:
        if path.is_dir() and target.exists():
            raise OSError(code, os.strerror(code))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", strict)
    store.put_if_match("x", b"1", store.etag("x"))
    _place_of_the_turn(store).mkdir()
    store.put_if_match("x", b"2", store.etag("x"))
    assert store.read("x") == b"2"


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EACCES, errno.ENOSYS])
def test_a_file_system_that_renames_no_folders_is_rejected(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_path: Path, _target: Path) -> Path:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr(local_store, "wait", lambda _attempt: None)
    with pytest.raises(StoreError, match=rf"cannot publish .*x: {os.strerror(code)}"):
        store.put_if_match("x", b"1", store.etag("x"))


def test_a_turn_of_another_machine_ends_after_its_lease(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "LEASE_SECONDS", 0.1)
    place = _place_of_the_turn(store)
    place.mkdir(parents=True)
    (place / "another-machine:1:0").touch()
    store.put_if_match("x", b"1", store.etag("x"))
    assert store.read("x") == b"1"


def _place_of_the_turn(store: LocalStore) -> Path:
    return store.root / ".scratch" / f"turn-{sha256(b'x').hexdigest()[:32]}"
