"""The stores of former versions that are kept under test, as `tools/write_store.py` wrote them."""

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from inventory_assets.inventory.storage.layout import Layout
from inventory_assets.inventory.storage.local_store import LocalStore

FOLDER = Path(__file__).parents[1] / "stores"
READ = ("format-3", "format-3-usage", "format-3-every-kind")
"""The stores that this version reads."""
REFUSED = ("format-1", "format-2")
"""Those from before format 3, which it refuses."""
EVERY_KIND = "format-3-every-kind"


@dataclass(frozen=True, slots=True)
class KeptStore:
    """A kept store, and what is true of it.

    Attributes:
        store: A copy of it.
        bucket: The bucket that it is of.
        sources: The names of its sources.
        dates: The keys of the bucket on each date, ascending.
        changes: What happened to keys between the two dates.
    """

    store: LocalStore
    bucket: str
    sources: tuple[str, ...]
    dates: Mapping[date, list[str]]
    changes: Mapping[str, str]

    def layout(self, source: str) -> Layout:
        """The layout of a source."""
        return Layout(self.bucket, source)

    @property
    def last(self) -> date:
        """The second date."""
        return max(self.dates)

    @property
    def content(self) -> dict[str, bytes]:
        """All files by key."""
        return {file.key: self.store.read(file.key) or b"" for file in self.store.files("")}


def kept_store(name: str, folder: Path) -> KeptStore:
    """Unpack a kept store.

    Args:
        name: The name of the store.
        folder: The folder of the copy, which is made.
    """
    folder.mkdir(parents=True)
    with tarfile.open(FOLDER / name / "store.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    truth = json.loads((FOLDER / name / "truth.json").read_text("utf-8"))
    return KeptStore(
        LocalStore(folder),
        truth["bucket"],
        tuple(truth["sources"]),
        {date.fromisoformat(day): keys for day, keys in truth["dates"].items()},
        truth["changes"],
    )
