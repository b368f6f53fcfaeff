"""The destination and the format of a command's rows.

Rows go to standard output, or to a file that appears when it is complete. On a terminal they are
written as a table, and to a pipe as CSV, unless `--format` names another format.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from inventory_assets.errors import printable
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect, ExportFormat

if TYPE_CHECKING:
    import pyarrow as pa

STANDARD_OUTPUT = "-"
TABLE = "table"


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options for the destination and the format of rows."""
    parser.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        default=STANDARD_OUTPUT,
        help="write to FILE in the format of its suffix: .parquet, .csv or .jsonl, followed by "
        ".gz or .zst to compress it (standard output)",
    )
    parser.add_argument(
        "--format",
        help="table, csv, json (an object per line) or parquet; csv.gz and the like compress "
        "(table on a terminal, csv elsewhere)",
    )


def add_summary_format(parser: argparse.ArgumentParser) -> None:
    """Add the option for the format of a command's summary."""
    parser.add_argument(
        "--format",
        choices=["text", "json"],
        default="text",
        help="print the summary as text, or as one JSON document (text)",
    )


def print_json(document: Mapping[str, object]) -> None:
    """Print a document on one line, in ASCII, so that nothing in it can control a terminal."""
    print(json.dumps(document).replace("\x7f", "\\u007f"))


@dataclass(frozen=True, slots=True)
class Output:
    """The destination and the format of rows.

    Attributes:
        out: The path of the file; `STANDARD_OUTPUT` for standard output.
        export_format: The format; None for a table.
    """

    out: str
    export_format: ExportFormat | None

    @classmethod
    def of(cls, options: argparse.Namespace, dialect: Dialect | None, default: Dialect) -> "Output":
        """The output that the options of `add_output` describe.

        Args:
            options: The parsed options.
            dialect: The requested dialect of CSV, or None; with one, a table is not the default.
            default: The dialect of CSV if none was requested.

        Raises:
            UnknownFormat: The options name no known format.
        """
        is_standard = options.out == STANDARD_OUTPUT
        name: str | None = options.format
        if name is None and is_standard:
            name = "csv" if dialect or not sys.stdout.isatty() else TABLE
        if name == TABLE:
            return cls(options.out, None)
        if name is None:
            name = Path(options.out).name
        elif name.partition(".")[0] == "json":
            name = name.replace("json", "jsonl", 1)
        return cls(options.out, ExportFormat.of(name, dialect or default))

    @property
    def is_csv(self) -> bool:
        """Whether rows are written as CSV."""
        return self.export_format is not None and self.export_format.shape == "csv"

    def write(self, batches: Iterable["pa.RecordBatch"], schema: "pa.Schema") -> int:
        """Write batches; returns the number of rows.

        Raises:
            StoreError: The file cannot be written.
            BrokenPipeError: The reader of standard output has ended.
        """
        from inventory_assets.inventory.export.exporter import atomic_file

        if self.out != STANDARD_OUTPUT:
            with atomic_file(Path(self.out)) as file:
                return self._write_to(file, batches, schema)
        target = sys.stdout.buffer
        if sys.stdout.isatty() and self.export_format is not None:
            if self.export_format.is_binary:
                raise UnknownFormat("a terminal cannot show this format; write to a file with -o")
            target = cast(IO[bytes], _Terminal(target))
        rows = self._write_to(target, batches, schema)
        sys.stdout.flush()
        return rows

    def _write_to(
        self, target: IO[bytes], batches: Iterable["pa.RecordBatch"], schema: "pa.Schema"
    ) -> int:
        if self.export_format is None:
            from inventory_assets.cli.table import write_table

            return write_table(batches, schema, target)
        from inventory_assets.inventory.export.exporter import write_export

        return write_export(self.export_format, batches, schema, target)


def require_flat(schema: "pa.Schema", output: Output) -> None:
    """Check that a format can hold the columns of an answer.

    Raises:
        UnknownFormat: It is CSV, and a column has lists, structures or maps.
    """
    nested = [str(field) for field in schema if field.type.num_fields]
    if nested and output.is_csv:
        raise UnknownFormat(f"CSV cannot hold {nested[0]}; add --format jsonl")


class _Terminal:
    """A terminal; characters that are not printable are escaped, so keys cannot control it."""

    def __init__(self, terminal: IO[bytes]) -> None:
        self._stream = terminal

    def write(self, data: bytes) -> int:
        self._stream.write("\n".join(map(printable, data.decode().split("\n"))).encode())
        self._stream.flush()
        return len(data)
