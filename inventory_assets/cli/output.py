"""Where the records of a command go: a file that appears whole, or standard output."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from inventory_assets.errors import printable
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect, ExportFormat

if TYPE_CHECKING:
    import pyarrow as pa

STANDARD_OUTPUT = "-"


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where to write, and how."""
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default=STANDARD_OUTPUT,
        help="write to this file, as its suffix tells: .parquet, .csv or .jsonl, each plain or "
        "with .gz or .zst (standard output)",
    )
    parser.add_argument(
        "--format", metavar="SUFFIX", help="how to write, where no file's name tells (csv)"
    )


def output_format(options: argparse.Namespace, dialect: Dialect) -> ExportFormat:
    """How to write, as the options tell; where none does, as CSV in a dialect.

    Raises:
        UnknownFormat: They do not tell.
    """
    told = options.format or ("csv" if options.out == STANDARD_OUTPUT else Path(options.out).name)
    return ExportFormat.of(told, dialect)


def write_output(
    batches: Iterable["pa.RecordBatch"],
    schema: "pa.Schema",
    out: str,
    export_format: ExportFormat,
) -> int:
    """Write batches; returns how many rows there were.

    Raises:
        StoreError: The file cannot be written.
        BrokenPipeError: Nobody reads standard output any more.
    """
    from inventory_assets.inventory.export.exporter import atomic_file, write_export

    if out != STANDARD_OUTPUT:
        with atomic_file(Path(out)) as file:
            return write_export(export_format, batches, schema, file)
    target = sys.stdout.buffer
    if sys.stdout.isatty():
        if export_format.is_binary:
            raise UnknownFormat("this is no text for a terminal; write it to a file with -o")
        target = cast(IO[bytes], _Terminal(target))
    rows = write_export(export_format, batches, schema, target)
    sys.stdout.flush()
    return rows


class _Terminal:
    """A terminal, on which a key must not move the cursor or ring the bell."""

    def __init__(self, terminal: IO[bytes]) -> None:
        self._stream = terminal

    def write(self, data: bytes) -> int:
        self._stream.write("\n".join(map(printable, data.decode().split("\n"))).encode())
        self._stream.flush()
        return len(data)
