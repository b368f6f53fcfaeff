"""A simulated bucket that keeps versions, and changes while they are listed."""

from collections.abc import Mapping, Sequence
from random import Random

from inventory_assets_tests.fakes.simulated_bucket import (
    ErrorRates,
    Life,
    SimulatedBucket,
    SimulatedNetwork,
)
from inventory_assets_tests.fakes.versioned_s3 import History, Version, rendered


class VersionedSimulation(SimulatedBucket):
    """The content of the bucket, over all runs that list it.

    Args:
        history: What was done to it so far, without null versions.
        names: The keys that may be written.
        page_size: Versions in a page at most.
        chances: The random generator of all events.
        erases: Whether versions may be deleted for good.
        now: The time, in milliseconds since 1970; later versions have it as LastModified.
    """

    def __init__(
        self,
        history: History,
        names: Sequence[str],
        page_size: int,
        chances: Random,
        *,
        erases: bool,
        now: int,
    ) -> None:
        super().__init__([], [], page_size, chances)
        self.history = history
        self.now = now
        self.changed: set[str] = set()
        """The keys with changes since a test emptied this set."""
        self._names = names
        self._erases = erases

    def change(self) -> None:
        """Put a version or a delete marker, or delete a version for good."""
        self.now += self.chances.choice((0, 1, 5))
        key = self.chances.choice(self._names)
        self.changed.add(key)
        there = self.history.versions.get(key)
        if there and self._erases and self.chances.random() < 0.4:
            there.pop(self.chances.randrange(len(there)))
        else:
            is_marker = self.chances.random() < 0.3
            self.history.put(key, self.now, None if is_marker else self.chances.randrange(99))

    def following(self, key: str, version_id: str) -> list[Version]:
        """The versions after a key marker, and after one of its versions unless that is ""."""
        return [
            each
            for each in self.history.listed()
            if each.key > key
            or (each.key == key and version_id and _age(each.version_id) < _age(version_id))
        ]


def _age(version_id: str) -> int:
    """A number that is greater for later versions: S3 finds the place of a deleted one, too."""
    return int(version_id.removeprefix("v"))


class VersionedNetwork(SimulatedNetwork):
    """Replaces the transport of a `ListClient`; also answers requests for current objects.

    Args:
        bucket: The bucket.
        life: The life of the requesting process.
        rates: The probabilities of errors.
    """

    def __init__(self, bucket: VersionedSimulation, life: Life, rates: ErrorRates) -> None:
        super().__init__(bucket, life, rates)
        self._versions = bucket

    def _page(self, parameters: Mapping[str, str]) -> bytes:
        bucket = self._versions
        if "versions" not in parameters:
            bucket.keys = sorted(bucket.history.current())
            return super()._page(parameters)
        markers = (parameters.get(name, "") for name in ("key-marker", "version-id-marker"))
        prefix, size = (
            parameters.get("prefix", ""),
            min(bucket.page_size, int(parameters["max-keys"])),
        )
        found = [each for each in bucket.following(*markers) if each.key.startswith(prefix)]
        return rendered(found[:size], found[size - 1] if len(found) > size else None)
