"""`inventory du`: objects and bytes by prefix."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from inventory_assets.cli.bucket_arguments import (
    BUCKET_OPTIONS,
    add_bucket_options,
    bucket_and_prefix,
    given_arguments,
    given_key_order,
    open_bucket,
)
from inventory_assets.cli.inventory_argument import open_inventory
from inventory_assets.cli.output import STANDARD_OUTPUT, Output, add_output
from inventory_assets.errors import printable
from inventory_assets.inventory.errors import InventoryNotFound, QueryRefused
from inventory_assets.inventory.export.export_format import Dialect
from inventory_assets.units import human_bytes, human_change, human_usd

if TYPE_CHECKING:
    import pyarrow as pa

    from inventory_assets.inventory.query.dataset import Dataset

S3 = "s3://"

SORTED_BY = {"bytes": "bytes", "objects": "objects", "growth": "bytes_change"}
"""The column of each order."""

GROWTHS = {"bytes_change": "growth", "bytes_change_7d": "7 days", "bytes_change_30d": "30 days"}
"""The columns with growth, and their titles in a table."""

COST = "estimated a month"
"""The title of the column with costs."""

RECORDS_SET_ASIDE = 3
"""The exit code if some records could not be decoded, and do not count."""

CONCURRENCY = 32

_DEPTH = 1


def add_du(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "du",
        help="show objects and bytes by prefix",
        description="Show objects and bytes by prefix: of a source, from its newest usage table; "
        "of a folder, from its files; of a bucket, by listing it into a temporary folder. Rows "
        'are cumulative, and the whole has the prefix "". Small prefixes have no rows of their '
        "own, but count in those above them.",
    )
    parser.add_argument(
        "inventory",
        metavar="INVENTORY",
        nargs="?",
        help="a source of the configuration (logs: its newest date; the only source if left out), "
        "a date of it (logs@2026-11-22), a path to the folder of a date, of a source, or of "
        "`inventory list`, or s3://BUCKET[/PREFIX]",
    )
    parser.add_argument(
        "--depth",
        metavar="N",
        type=_levels,
        help=f"levels of prefixes, below the one that all keys have in common ({_DEPTH})",
    )
    parser.add_argument(
        "--sort",
        choices=list(SORTED_BY),
        help="largest first by bytes, objects, or growth since the usage table before (bytes)",
    )
    parser.add_argument("--top", metavar="N", type=_levels, help="only the N largest prefixes")
    parser.add_argument(
        "--ncdu", action="store_true", help="write a file that `ncdu -f FILE` shows"
    )
    add_output(parser)
    add_bucket_options(parser)
    parser.add_argument(
        "--versions",
        action="store_true",
        help="list all versions and delete markers of the bucket",
    )
    parser.set_defaults(run=_du)


def _levels(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _du(options: argparse.Namespace) -> int:
    if options.ncdu and (names := [*given_arguments(options, ("depth", "sort", "top", "format"))]):
        options.usage_error(f"--ncdu writes everything: leave out {_flags(names)}")
    output = None if options.ncdu else Output.of(options, None, Dialect.PLAIN)
    with _opened(options) as (dataset, unreadable):
        from inventory_assets.inventory.query.usage_query import prefixes_of

        prefixes = prefixes_of(dataset)
        name = options.inventory or (dataset.layout.source if dataset.layout else "")
    if output is None:
        _write_ncdu(prefixes, name, options.out)
    else:
        _write_rows(prefixes, options, output, name)
    if unreadable:
        print(
            f"inventory: {unreadable:,} record(s) of the listing could not be decoded, and do not "
            "count",
            file=sys.stderr,
        )
        return RECORDS_SET_ASIDE
    return 0


@contextmanager
def _opened(options: argparse.Namespace) -> "Iterator[tuple[Dataset, int]]":
    """What the arguments name, and how many of its records could not be decoded."""
    address = options.inventory
    if address and address.startswith(S3):
        with TemporaryDirectory(prefix="inventory-du-") as folder:
            yield _listed(options, Path(folder))
        return
    names = [*given_arguments(options, (*BUCKET_OPTIONS, "versions"))]
    if names:
        options.usage_error(
            f"{_flags(names)} is for a bucket: leave it out, or name one with {S3}BUCKET"
        )
    yield open_inventory(address or _only_source()), 0


def _flags(arguments: list[str]) -> str:
    return ", ".join(argument.partition("=")[0] for argument in arguments)


def _only_source() -> str:
    from inventory_assets.config import load_config

    sources = [*load_config().sources]
    if len(sources) != 1:
        raise InventoryNotFound(f"there are several sources; name one: {', '.join(sources)}")
    return sources[0]


def _listed(options: argparse.Namespace, folder: Path) -> "tuple[Dataset, int]":
    """List the bucket into a folder."""
    from inventory_assets.cli.progress_line import show_progress
    from inventory_assets.inventory.folder_listing.folder_listing import list_into_folder
    from inventory_assets.inventory.query.dataset import Dataset
    from inventory_assets.inventory.storage.local_store import LocalStore
    from inventory_assets.scan.engine.progress import ProgressMeter
    from inventory_assets.scan.validation.object_versions import Versions

    try:
        options.url = bucket_and_prefix(options.inventory)
    except argparse.ArgumentTypeError as error:
        options.usage_error(str(error))
    versions = Versions(None) if options.versions else None
    lister = open_bucket(options, max_in_flight=CONCURRENCY)
    meter = ProgressMeter(lambda: lister.in_flight)
    try:
        with show_progress(meter, sys.stderr):
            listing = list_into_folder(
                lister,
                options.url[1],
                folder,
                report=meter.on_event,
                versions=versions,
                key_order=given_key_order(options),
            )
    finally:
        lister.close()
    # An empty bucket has no files.
    listed = Dataset.of_listing(folder) if listing.files else Dataset(LocalStore(folder), ())
    return listed, listing.unreadable.count


def _write_rows(
    prefixes: "pa.Table", options: argparse.Namespace, output: Output, name: str
) -> None:
    import pyarrow.compute as pc

    column = SORTED_BY[options.sort or "bytes"]
    values = prefixes.column(column)
    if values.null_count == len(values):
        raise QueryRefused(
            f"the growth of {name} is unknown, as there is no usage table of an earlier date; sort "
            "by bytes, or materialize prefix_usage for two dates"
        )
    depth = _common_depth(prefixes) + (_DEPTH if options.depth is None else options.depth)
    is_shown = pc.less_equal(prefixes.column("depth"), depth)
    below = prefixes.filter(pc.and_(is_shown, pc.not_equal(prefixes.column("prefix"), "")))
    below = below.sort_by([(column, "descending"), ("prefix", "ascending")])
    shown = below if options.top is None else below.slice(0, options.top)
    whole = prefixes.slice(0, 1)
    table = _for_people(whole, shown, below.num_rows - shown.num_rows)
    if output.export_format is not None:
        import pyarrow as pa

        table = pa.concat_tables([whole, shown])
    output.write(table.to_batches(), table.schema)


def _common_depth(prefixes: "pa.Table") -> int:
    """The depth of the deepest prefix that all records have in common."""
    rows = zip(*(prefixes.column(name).to_pylist() for name in _TOTALS), strict=True)
    _, *whole = next(rows)
    depth = 0
    for found, *totals in rows:
        if totals != whole:
            break
        depth = found
    return depth


_TOTALS = ("depth", "objects", "bytes", "delete_markers")


def _for_people(whole: "pa.Table", shown: "pa.Table", others: int) -> "pa.Table":
    """The rows of a table for people, with the whole at the end."""
    import pyarrow as pa

    rows = [*shown.to_pylist(), {**whole.to_pylist()[0], "prefix": "(total)"}]
    columns: dict[str, list[str | int | None]] = {
        "size": _right("size", [human_bytes(row["bytes"]) for row in rows]),
        "objects": [row["objects"] for row in rows],
    }
    if any(row["noncurrent_objects"] for row in rows):
        columns["noncurrent"] = _right(
            "noncurrent", [human_bytes(row["noncurrent_bytes"]) for row in rows]
        )
    if any(row["delete_markers"] for row in rows):
        columns["delete markers"] = [row["delete_markers"] for row in rows]
    for column, title in GROWTHS.items():
        changes = [row[column] for row in rows]
        if any(change is not None for change in changes):
            columns[title] = _right(
                title, ["" if change is None else human_change(change) for change in changes]
            )
    if any(row["monthly_usd"] is not None for row in rows):
        costs = [human_usd(row["monthly_usd"]) for row in rows]
        columns[COST] = _right(COST, costs)
    columns["prefix"] = [row["prefix"] for row in rows]
    if others:
        for values in columns.values():
            values.insert(-1, None)
        columns["prefix"][-2] = f"(and {others:,} more)"
    return pa.table(columns)


def _right(title: str, texts: list[str]) -> list[str | int | None]:
    """Text that is aligned to the right, as the numbers of the table are."""
    width = max(map(len, [title, *texts]))
    return [text.rjust(width) for text in texts]


def _write_ncdu(prefixes: "pa.Table", name: str, out: str) -> None:
    from importlib.metadata import version

    from inventory_assets.inventory.export.exporter import atomic_file
    from inventory_assets.inventory.usage.ncdu import ncdu_document

    pieces = ncdu_document(prefixes, name, version("inventory-assets"), int(time.time()))

    def write(target: IO[bytes]) -> None:
        for piece in pieces:
            target.write(piece.encode())

    if out == STANDARD_OUTPUT:
        write(sys.stdout.buffer)
        return
    with atomic_file(Path(out)) as file:
        write(file)
    print(f"open {printable(out)} with: ncdu -f {printable(out)}", file=sys.stderr)
