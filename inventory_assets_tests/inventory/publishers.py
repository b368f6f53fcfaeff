"""Processes that publish the same records at the same time, where locks do not work."""

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NoReturn

from inventory_assets.inventory.errors import ConflictError
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.turns import Turn

_CONTEXT = get_context("spawn")


def run_publishers(root: Path, processes: int, rounds: int, *, one_is_killed: bool) -> list[Any]:
    """Have processes publish a record in each of some rounds, all at once.

    Args:
        root: The folder of the store.
        processes: How many.
        rounds: In each the record is `round-<number>`, which half of the times is there already.
        one_is_killed: In each round, have a process beside them that is killed in its turn.

    Returns:
        In the order of rounds, the numbers of the processes that published.
    """
    start, results = _CONTEXT.Barrier(processes), _CONTEXT.Queue()
    started = [
        _CONTEXT.Process(target=_publish, args=(root, number, rounds, start, results), daemon=True)
        for number in range(processes)
    ]
    if one_is_killed:
        for number in range(rounds):
            killed = _CONTEXT.Process(target=_publish_and_die, args=(root, number))
            killed.start()
            killed.join()
    for process in started:
        process.start()
    found = [results.get(timeout=120) for _ in started]
    for process in started:
        process.join()
    return [
        [number for number, won in found if number_of_round in won]
        for number_of_round in range(rounds)
    ]


def _publish(root: Path, number: int, rounds: int, start: Barrier, results: Any) -> None:
    refuse_locks(setattr)
    store = LocalStore(root)
    won: set[int] = set()
    for number_of_round in range(rounds):
        version = store.etag(f"round-{number_of_round}")
        start.wait(60)
        try:
            store.put_if_match(f"round-{number_of_round}", f"by {number}".encode(), version)
        except ConflictError:
            continue
        won.add(number_of_round)
    results.put((number, won))


def _publish_and_die(root: Path, number: int) -> None:
    def die(_turn: Turn, _target: Path) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    Turn.publish = die  # type: ignore[assignment, method-assign]
    store = LocalStore(root)
    key = f"round-{number}"
    store.put_if_match(key, b"by one that is killed", store.etag(key))


def refuse_locks(patch: Callable[[Any, str, Any], None]) -> None:
    """Let every lock fail, as on NFS without a lock daemon."""

    def refuse(*_arguments: object) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for name in ("flock", "lockf", "fcntl"):
        patch(fcntl, name, refuse)
