"""Copy the sources of a store to another store (docs/upgrading.md says how to use it).

A migration can be stopped at any time: what is there and equal is not copied again. It can be
repeated, too: the second one copies what was published since the first one began.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import date
from itertools import islice

from inventory_assets.inventory.errors import OtherSource, StoreError
from inventory_assets.inventory.listing.source_record import SOURCE
from inventory_assets.inventory.migration.file_copier import (
    FileCopier,
    MigrationProgress,
    destination_in_use,
)
from inventory_assets.inventory.migration.file_table import FileTable
from inventory_assets.inventory.migration.stages import (
    STAGES,
    LeftOut,
    day_of,
    kind_of,
    stage_of,
)
from inventory_assets.inventory.retention.references import RECORD_TYPES, require_known_kind
from inventory_assets.inventory.storage.layout import FileKind, Layout, path_in_source
from inventory_assets.inventory.storage.store import NO_ETAG, Store, StoredFile

PARALLEL = 8
"""Files that are copied at the same time."""

_REMOVED_ALONE = (FileKind.CHECKPOINT, FileKind.SUPERSEDED)
"""Kinds of records that are removed while others of their date are kept."""


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
        self._layouts: list[Layout] = []
        self._days: dict[str, set[date]] = {}
        """The dates of each source that is read, by its folders."""
        self._copier = FileCopier(source, destination, files)

    @property
    def progress(self) -> MigrationProgress:
        """What was done so far."""
        return self._copier.progress

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
            days: set[date] = set()
            for base in _bases(layout):
                self._days[base] = days
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
            if (day := day_of(file.key)) is not None:
                self._days[base].add(day)
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
        """Check that no run has published records in the destination.

        Records that an earlier migration copied, and that the source has removed since, are none.
        """
        for key in self._files.only_present():
            kind = kind_of(key)
            is_record = kind in RECORD_TYPES and isinstance(stage_of(key), int)
            is_removed = kind in _REMOVED_ALONE or self._is_of_removed_date(key)
            if is_record and not is_removed and self._source.size(key) is None:
                raise destination_in_use(self._source, self._destination, key)

    def _is_of_removed_date(self, key: str) -> bool:
        """Whether the source had a date, which a collection has removed, as it has later ones."""
        day = day_of(key)
        days = self._days[key.removesuffix(f"/{path_in_source(key)}")]
        return day is not None and day not in days and day < max(days, default=date.min)

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
                    pending.add(pool.submit(self._copier.copy, file, there, report))
                while pending:
                    pending = _proceed(pending)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _bases(layout: Layout) -> tuple[str, str]:
    """The folders of a source: its own, and that of its inventory in CSV."""
    return layout.base, layout.csv.base


def _proceed(pending: set[Future[None]]) -> set[Future[None]]:
    """Wait until one of the copies has ended; those that have not."""
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for each in done:
        each.result()
    return left
