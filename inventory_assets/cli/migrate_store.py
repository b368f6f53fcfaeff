"""`inventory migrate-store`: copy what a store holds to another store."""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from inventory_assets.config import StoreBucket
    from inventory_assets.inventory.migration.file_copier import MigrationProgress
    from inventory_assets.inventory.migration.store_migration import MigrationPlan

_LINE_SECONDS = 0.5


def add_migrate_store(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "migrate-store",
        help="copy what a store holds to another store",
        description="Copy all inventories of a store to another one: from a folder to a bucket, "
        "back, or between two of a kind. A STORE is the path of a folder, s3://BUCKET/PREFIX, or "
        "the path of a configuration (.toml), which means its store, with the access that it "
        "configures. A stopped migration continues when it is run again. Stop the schedules first, "
        "and run it twice if a run was still writing.",
    )
    parser.add_argument("source", metavar="SOURCE-STORE", help="the store that is read")
    parser.add_argument(
        "destination", metavar="DESTINATION-STORE", help="the store that is written"
    )
    parser.add_argument(
        "--source", metavar="NAME", dest="only", help="copy this source only, by its folder"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be copied, and copy nothing"
    )
    parser.add_argument(
        "--parallel", metavar="FILES", type=int, help="files to copy at the same time (8)"
    )
    parser.set_defaults(run=_migrate, usage_error=parser.error)


def _migrate(options: argparse.Namespace) -> int:
    import tempfile

    from inventory_assets.inventory.migration.file_table import FileTable
    from inventory_assets.inventory.migration.store_migration import PARALLEL, StoreMigration
    from inventory_assets.units import human_bytes
    from inventory_assets.wiring.results import open_results

    parallel = PARALLEL if options.parallel is None else options.parallel
    if not 1 <= parallel <= 64:
        usage_error: Callable[[str], NoReturn] = options.usage_error
        usage_error(f"--parallel {parallel}: expected 1 to 64")
    places = _store(options.source), _store(options.destination)
    _require_apart(*places)
    source, destination = (open_results(place) for place in places)
    with (
        tempfile.TemporaryDirectory(prefix="inventory-migration-") as folder,
        FileTable(Path(folder, "files")) as files,
    ):
        migration = StoreMigration(source, destination, files, options.only, parallel)
        plan = migration.plan()
        print(f"sources: {', '.join(plan.sources)}")
        if options.dry_run:
            print(f"to copy or compare: {plan.files:,} files, {human_bytes(plan.bytes)}")
            _say_left_out(plan)
            return 0
        line = _ProgressLine(plan)
        try:
            migration.run(line.show)
        except KeyboardInterrupt as stop:
            stop.add_note("run the same command again to continue")
            raise
        finally:
            line.erase()
        progress = migration.progress
    print(
        f"copied: {progress.copied:,} files, {human_bytes(progress.bytes)}; there already: "
        f"{progress.present:,}; removed from the source meanwhile: {progress.gone:,}"
    )
    _say_left_out(plan)
    if progress.missing:
        shown = ", ".join(progress.examples)
        print(f"{progress.missing:,} files that records name are missing in the source: {shown}")
    return 0


def _store(place: str) -> "Path | StoreBucket":
    from inventory_assets.config import load_config
    from inventory_assets.config.store import check_store, resolved_store
    from inventory_assets.inventory.errors import StoreError

    if place.endswith(".toml"):
        return load_config(Path(place)).store
    try:
        check_store(place)
    except ValueError as error:
        raise StoreError(f"{place!r}: {error}") from None
    return resolved_store(place, None, Path.cwd())


def _require_apart(source: "Path | StoreBucket", destination: "Path | StoreBucket") -> None:
    """Check that neither store is within the other."""
    from inventory_assets.inventory.errors import StoreError

    names = sorted(_full_name(place) for place in (source, destination))
    if names[1].startswith(names[0]):
        raise StoreError(
            "one store is within the other, or they are the same: copy to a place beside the "
            "store, and name it"
        )


def _full_name(place: "Path | StoreBucket") -> str:
    if isinstance(place, Path):
        return f"{place.resolve()}/"
    return f"{place.endpoint_url} {place.bucket}/{place.prefix}".rstrip("/") + "/"


def _say_left_out(plan: "MigrationPlan") -> None:
    for reason, count in plan.left_out.items():
        print(f"not copied: {count:,} {reason}")


class _ProgressLine:
    """A line on a terminal that is written again; nothing elsewhere."""

    def __init__(self, plan: "MigrationPlan") -> None:
        self._plan = plan
        self._is_shown = sys.stderr.isatty()
        self._last = 0.0

    def show(self, progress: "MigrationProgress") -> None:
        now = time.monotonic()
        if self._is_shown and now - self._last >= _LINE_SECONDS:
            self._last = now
            done = f"{progress.files:,} of {self._plan.files:,} files"
            print(
                f"\r{done}, {progress.copied:,} copied\x1b[K", end="", file=sys.stderr, flush=True
            )

    def erase(self) -> None:
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
