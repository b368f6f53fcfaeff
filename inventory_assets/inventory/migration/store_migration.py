"""Copy the sources of a store to another store (docs/upgrading.md says how to use it).

A migration can be stopped at any time: what is there and equal is not copied again. It can be
repeated, too: the second one copies what was published since the first one began.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Lock

from inventory_assets.inventory.errors import OtherSource, StoreError
from inventory_assets.inventory.listing.source_record import SOURCE
from inventory_assets.inventory.migration.file_table import FileTable
from inventory_assets.inventory.migration.relocation import Relocation, key_in_store
from inventory_assets.inventory.migration.stages import (
    STAGES,
    LeftOut,
    kind_of,
    sha256_in,
    stage_of,
)
from inventory_assets.inventory.retention.references import RECORD_TYPES, require_known_kind
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.store import NO_ETAG, Store, StoredFile

PARALLEL = 8
"""Files that are copied at the same time."""

_CHUNK_BYTES = 4 * 2**20
_DATA_STAGE = 0
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What a migration copies.

    Attributes:
        sources: The folders of the sources, such as `bucket/source`.
        files: The files.
        bytes: Their bytes.
        left_out: How many files are not copied, by the reason.
    """

    sources: tuple[str, ...]
    files: int
    bytes: int
    left_out: Mapping[LeftOut, int]


@dataclass(slots=True)
class MigrationProgress:
    """What a migration has done so far.

    Attributes:
        copied: Files that were copied.
        bytes: Their bytes.
        present: Files that were there already, and equal.
        gone: Files that were removed from the source meanwhile.
        missing: Data files that records of the source name, and that the source does not have.
        examples: The keys of the first of them.
    """

    copied: int = 0
    bytes: int = 0
    present: int = 0
    gone: int = 0
    missing: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """The files that are done."""
        return self.copied + self.present + self.gone


class StoreMigration:
    """Copies the sources of a store to another one.

    Args:
        source: The store that is read.
        destination: The store that is written.
        files: An empty table.
        only: The name of the only source to copy; None for all.
        parallel: How many files are copied at the same time.
    """

    def __init__(
        self,
        source: Store,
        destination: Store,
        files: FileTable,
        only: str | None = None,
        parallel: int = PARALLEL,
    ) -> None:
        self._source, self._destination = source, destination
        self._files = files
        self._only = only
        self._parallel = parallel
        self._relocation = Relocation(source, destination)
        self._lock = Lock()
        self._layouts: list[Layout] = []
        self.progress = MigrationProgress()

    def plan(self) -> MigrationPlan:
        """Find what is to be copied; this writes nothing.

        Raises:
            OtherSource: The destination belongs to another source.
            OtherFormat: A newer version wrote a file.
            StoreError: A store cannot be used, there is nothing to copy, or the destination is in
                use already.
        """
        left_out: Counter[LeftOut] = Counter()
        self._layouts = list(self._sources())
        for layout in self._layouts:
            self._require_free(layout)
            for base in _bases(layout):
                self._files.add(self._to_copy(layout, base, left_out))
                self._files.add_present(self._destination.files(base))
        self._require_unused()
        return MigrationPlan(
            tuple(layout.base for layout in self._layouts), *self._files.totals(), left_out
        )

    def run(self, report: Callable[[MigrationProgress], None] = lambda _: None) -> None:
        """Copy what `plan` found.

        Args:
            report: Is called after each file, by any thread.

        Raises:
            StoreError: A file is damaged, or could not be copied; run it again to continue.
        """
        for layout in self._layouts:
            self._claim(layout)
        for number, _ in enumerate(STAGES):
            self._copy_all(self._files.of_stage(number), report)

    def _sources(self) -> Iterator[Layout]:
        """The sources of the store, or the only one."""
        found = []
        for bucket in self._source.list_names(""):
            if bucket.startswith("."):
                continue
            for name in self._source.list_names(bucket):
                layout = Layout(bucket, name)
                is_wanted = self._only in {None, name}
                if is_wanted and self._source.size(layout.source_record) is not None:
                    found.append(layout)
        if not found:
            what = "no source" if self._only is None else f"no source {self._only!r}"
            raise StoreError(
                f"{self._source.where('')} holds {what} with a source.json; name the store of a "
                "configuration, and materialize `shards` once if an old version wrote it"
            )
        yield from found

    def _to_copy(
        self, layout: Layout, base: str, left_out: Counter[LeftOut]
    ) -> Iterator[tuple[int, StoredFile]]:
        for file in self._source.files(base):
            stage = stage_of(file.key)
            if not isinstance(stage, LeftOut):
                yield stage, file
            elif kind_of(file.key) is not FileKind.SOURCE:
                if stage is LeftOut.UNKNOWN:
                    require_known_kind(self._source, layout, file.key)
                left_out[stage] += 1

    def _require_free(self, layout: Layout) -> None:
        """Check that the destination holds nothing else in the folders of a source."""
        wanted = SOURCE.read(self._source, layout.source_record)
        found = SOURCE.read(self._destination, layout.source_record)
        where = self._destination.where(layout.base)
        if found is not None and found != wanted:
            raise OtherSource(
                f"{where} holds the inventories of {found}, and {self._source.where(layout.base)} "
                f"those of {wanted}; choose another destination"
            )
        if found is None and any(
            True for base in _bases(layout) for _ in islice(self._destination.files(base), 1)
        ):
            raise OtherSource(
                f"{where} holds files, and no source.json that tells whose they are; choose "
                "another destination, or remove that folder"
            )

    def _require_unused(self) -> None:
        """Check that no run has published records in the destination."""
        for key in self._files.only_present():
            kind = kind_of(key)
            is_record = kind in RECORD_TYPES and isinstance(stage_of(key), int)
            if is_record and self._source.size(key) is None:
                raise self._in_use(key)

    def _in_use(self, key: str) -> StoreError:
        return StoreError(
            f"{self._destination.where(key)} is not from {self._source.where('')}: the destination "
            "is in use already, and was not changed further; if the migration is to be done again, "
            "remove the folder of the source there first"
        )

    def _claim(self, layout: Layout) -> None:
        data = self._source.read(layout.source_record) or b""
        if self._destination.read(layout.source_record) != data:
            self._destination.put_if_match(layout.source_record, data, NO_ETAG)

    def _copy_all(
        self,
        files: Iterable[tuple[StoredFile, int | None]],
        report: Callable[[MigrationProgress], None],
    ) -> None:
        """Copy the files of a stage; the next stage begins when all are there."""
        pending: set[Future[None]] = set()
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="copy") as pool:
            try:
                for file, there in files:
                    if len(pending) >= 2 * self._parallel:
                        pending = _proceed(pending)
                    pending.add(pool.submit(self._copy, file, there, report))
                while pending:
                    pending = _proceed(pending)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _copy(
        self, file: StoredFile, there: int | None, report: Callable[[MigrationProgress], None]
    ) -> None:
        kind = kind_of(file.key)
        if kind in _BY_VALUE:
            outcome = self._copy_record(kind, file.key)
        else:
            outcome = self._copy_file(file, there)
        with self._lock:
            progress = self.progress
            if outcome is None:
                progress.gone += 1
            elif outcome:
                progress.copied += 1
                progress.bytes += file.size
            else:
                progress.present += 1
            report(progress)

    def _copy_record(self, kind: FileKind, key: str) -> bool | None:
        """Copy a record; whether it was copied, None if it is gone."""
        data = self._source.read(key)
        if data is None:
            return None
        self._copy_named_files(kind, key, data)
        data = self._relocation.relocated(kind, key, data)
        present = self._destination.read(key)
        if present == data:
            return False
        if present is not None and _is_newer(kind, present, data):
            raise self._in_use(key)
        self._destination.publish(key, data)
        return True

    def _copy_named_files(self, kind: FileKind, key: str, data: bytes) -> None:
        """Copy the files that a record names, if they were published since the plan was made."""
        file_type = RECORD_TYPES.get(kind)
        if file_type is None:
            return
        try:
            named = [key_in_store(key, each) for each in file_type.references_in(data).keys]
        except ValueError:  # it is damaged, and copied as it is
            return
        for each in named:
            if not self._files.has(each):
                size = self._source.size(each)
                if size is not None:
                    self._copy_file(StoredFile(each, size), self._destination.size(each))
                    self._files.add([(_DATA_STAGE, StoredFile(each, size))])
                elif self._destination.size(each) is None:
                    self._note_missing(each)

    def _note_missing(self, key: str) -> None:
        with self._lock:
            self.progress.missing += 1
            if len(self.progress.examples) < _EXAMPLES:
                self.progress.examples.append(key)

    def _copy_file(self, file: StoredFile, there: int | None) -> bool | None:
        """Copy a file, or not if it is there and equal; None if it is gone."""
        digest = sha256_in(file.key)
        if there == file.size and digest:
            return False
        with self._destination.scratch() as folder:
            path = folder / "copied"
            found = _download(self._source, file.key, path)
            if found is None:
                return None
            if digest and found != digest:
                raise StoreError(
                    f"{self._source.where(file.key)} is damaged: its content has the SHA-256 "
                    f"{found}, not that of its name; list the dates that need it again, or remove "
                    "it from the source, then migrate again"
                )
            if there == file.size and found == _digest(self._destination, file.key):
                return False
            self._destination.publish_file(file.key, path, digest)
        return True


_BY_VALUE = frozenset(
    (
        *RECORD_TYPES,
        FileKind.CHECKSUM,
        FileKind.DISCOVERY,
        FileKind.LONG_PREFIX,
        FileKind.RETIREMENT,
        FileKind.SHARD_RUN,
        FileKind.DATE_RUN,
        FileKind.HYGIENE,
        FileKind.LIFECYCLE,
    )
)
"""Kinds of records, which are small enough to be compared in memory."""


def _bases(layout: Layout) -> tuple[str, str]:
    """The folders of a source: its own, and that of its inventory in CSV."""
    return layout.base, layout.csv.base


def _is_newer(kind: FileKind, present: bytes, data: bytes) -> bool:
    """Whether the record that is there was written after the one to copy."""
    file_type = RECORD_TYPES.get(kind)
    if file_type is None:
        return False
    try:
        times = [file_type.references_in(each).written_at for each in (present, data)]
    except ValueError:
        return False
    return times[0] is not None and times[1] is not None and times[0] > times[1]


def _download(store: Store, key: str, path: Path) -> str | None:
    """Write a file of a store to a path; its SHA-256, None if it is gone."""
    with path.open("wb") as target:
        return _digest(store, key, target.write)


def _digest(store: Store, key: str, write: Callable[[bytes], object] = len) -> str | None:
    """The SHA-256 of a file of a store; None if there is none."""
    opened = store.open(key)
    if opened is None:
        return None
    digest = hashlib.sha256()
    with opened as file:
        for chunk in iter(partial(file.read, _CHUNK_BYTES), b""):
            digest.update(chunk)
            write(chunk)
    return digest.hexdigest()


def _proceed(pending: set[Future[None]]) -> set[Future[None]]:
    """Wait until one of the copies has ended; those that have not."""
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for each in done:
        each.result()
    return left
