"""Reads of records that take a moment, to see how many happen at the same time."""

import threading
import time

import pytest

from inventory_assets.inventory.storage.local_store import LocalStore


class SlowReads:
    """Makes each read of a `LocalStore` take 10 ms from now on.

    Attributes:
        most: The most reads at the same time.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        self._at_once = 0
        self._lock = threading.Lock()
        plain = LocalStore.read

        def read(store: LocalStore, key: str) -> bytes | None:
            with self._lock:
                self._at_once += 1
                self.most = max(self.most, self._at_once)
            time.sleep(0.01)
            with self._lock:
                self._at_once -= 1
            return plain(store, key)

        monkeypatch.setattr(LocalStore, "read", read)
