"""`inventory export`: an inventory as one sorted file."""

import argparse
from typing import TYPE_CHECKING, Any

from inventory_assets.cli.inventory_argument import add_inventory, open_inventory
from inventory_assets.cli.output import STANDARD_OUTPUT, Output, add_output
from inventory_assets.inventory.errors import UnknownFormat
from inventory_assets.inventory.export.export_format import Dialect, ExportFormat

if TYPE_CHECKING:
    from inventory_assets.inventory.query.dataset import Dataset

FILE_LISTS = ("delta-vacuum", "iceberg-files")
"""The values of `file_list.FileList`, which is slow to import."""


def add_export(commands: Any) -> None:
    """Add the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help="write an inventory as one sorted file",
        description="Write an inventory as one file, sorted by key. The file appears when it is "
        "complete.",
    )
    add_inventory(parser)
    add_output(parser)
    parser.add_argument(
        "--dialect",
        choices=[*map(str, Dialect), *FILE_LISTS],
        help="dialect of CSV: as S3 Inventory writes it (default), for spreadsheets (a header, no "
        "formulas), as a manifest of S3 Batch Operations, or plain with a header; or a list of the "
        "current objects in any format, for VACUUM ... USING INVENTORY of Delta Lake or "
        "remove_orphan_files of Iceberg",
    )
    parser.add_argument(
        "--uri-scheme",
        choices=["s3", "s3a"],
        help="scheme of the paths in such a list, as the table has it (s3)",
    )
    parser.add_argument(
        "--metadata",
        action="store_true",
        help="add what object_metadata has asked of each object; CSV as S3 Inventory writes it has "
        "only the fields that S3 Inventory has",
    )
    parser.add_argument("--prefix", metavar="P", default="", help="only keys with this prefix")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    write = _write_file_list if options.dialect in FILE_LISTS else _write_records
    rows = write(options)
    if options.out != STANDARD_OUTPUT:
        print(f"{rows:,} objects in {options.out}")
    return 0


def _write_records(options: argparse.Namespace) -> int:
    dialect = Dialect(options.dialect) if options.dialect else None
    output = Output.of(options, dialect, Dialect.S3_INVENTORY)
    if dialect and not output.is_csv:
        raise UnknownFormat("--dialect applies only to CSV; leave it out, or write CSV")
    if options.uri_scheme:
        raise UnknownFormat(
            f"--uri-scheme applies only to lists of files; add --dialect {FILE_LISTS[0]}, or leave "
            "it out"
        )
    dataset = open_inventory(options.inventory).with_prefix(options.prefix)
    if options.metadata:
        return _write_described(dataset, output)
    names = dataset.schema.names
    columns = output.export_format.columns(names) if output.export_format else names
    return output.write(dataset.batches(columns), dataset.schema)


def _write_described(dataset: "Dataset", output: Output) -> int:
    from inventory_assets.inventory.export.described_records import (
        carries_metadata,
        described,
        described_schema,
    )

    # A table on a terminal has the columns of other files with a header.
    export_format = output.export_format or ExportFormat("csv", dialect=Dialect.PLAIN)
    if not carries_metadata(export_format):
        raise UnknownFormat(
            "a manifest of S3 Batch Operations has no metadata; leave out --metadata, or choose "
            "another dialect"
        )
    schema = described_schema(dataset.schema, export_format)
    files = dataset.metadata_files()
    return output.write(described(dataset.store, files, dataset.batches(), schema), schema)


def _write_file_list(options: argparse.Namespace) -> int:
    from inventory_assets.inventory.export.file_list import COLUMNS, SCHEMES, FileList, file_list

    if options.metadata:
        raise UnknownFormat(f"a list for {options.dialect} has no metadata; leave out --metadata")
    kind = FileList(options.dialect)
    output = Output.of(options, Dialect.PLAIN, Dialect.PLAIN)
    dataset = open_inventory(options.inventory).with_prefix(options.prefix)
    files = file_list(dataset.batches(COLUMNS), kind, options.uri_scheme or SCHEMES[0])
    return output.write(files, kind.schema)
