"""S3 Inventory's files that list the data files of a date: `manifest.json` and `symlink.txt`.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

from inventory_assets.inventory.parts.schema import RECORD_SCHEMA
from inventory_assets.inventory.storage.destination import Destination
from inventory_assets.inventory.storage.layout import FileKind
from inventory_assets.inventory.storage.record_type import JsonFile, UriList

VERSION = "2016-11-30"
"""The version of S3 Inventory's manifest format."""

FileFormat = Literal["Parquet", "CSV"]

_REMEDY = "materialize inventory_manifest, or inventory_exports, for {day} again"

S3_MANIFEST = JsonFile(
    kind=FileKind.S3_MANIFEST,
    title="manifest of S3 Inventory",
    remedy=_REMEDY,
    data_files="files[].key",
    written_at="creationTimestamp",
)

SYMLINK = UriList(kind=FileKind.SYMLINK, title="list of data files", remedy=_REMEDY)

_PARQUET_TYPES = {
    "string": "binary {} (STRING)",
    "int64": "int64 {}",
    "bool": "boolean {}",
    "timestamp[ms, tz=UTC]": "int64 {} (TIMESTAMP(MILLIS,true))",
}


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file, as `manifest.json` lists it.

    Attributes:
        key: Its key in the store.
        size: Its size in bytes.
        md5: The MD5 of its content, hexadecimal.
    """

    key: str
    size: int
    md5: str


def manifest_document(
    bucket: str,
    destination: Destination,
    created_at: datetime,
    file_format: FileFormat,
    files: Iterable[DataFile],
    schema: pa.Schema = RECORD_SCHEMA,
) -> bytes:
    """The bytes of `manifest.json`.

    Args:
        bucket: The bucket inventoried.
        destination: The bucket and prefix of the data files.
        created_at: When the inventory was made.
        file_format: The format of the data files.
        files: The data files, in key order of their records.
        schema: The schema of the records.
    """
    file_schema = parquet_file_schema if file_format == "Parquet" else csv_file_schema
    document = {
        "sourceBucket": bucket,
        "destinationBucket": destination.bucket_arn,
        "version": VERSION,
        "creationTimestamp": str(int(created_at.timestamp() * 1000)),
        "fileFormat": file_format,
        "fileSchema": file_schema(schema),
        "files": [
            {"key": destination.key(file.key), "size": file.size, "MD5checksum": file.md5}
            for file in files
        ],
    }
    return json.dumps(document, indent=2).encode()


def manifest_checksum(document: bytes) -> bytes:
    """The bytes of `manifest.checksum`: the MD5 of `manifest.json`, hexadecimal."""
    return hashlib.md5(document, usedforsecurity=False).hexdigest().encode()


def symlinks(uris: Sequence[str]) -> bytes:
    """The bytes of `symlink.txt`: one URI per line."""
    return "".join(f"{uri}\n" for uri in uris).encode()


def parquet_file_schema(schema: pa.Schema = RECORD_SCHEMA) -> str:
    """`fileSchema` of Parquet files, in the form of S3's own manifests."""
    fields = " ".join(
        f" {'optional' if field.nullable else 'required'} "
        f"{_PARQUET_TYPES[str(field.type)].format(field.name)};"
        for field in schema
    )
    return f"message s3.inventory {{ {fields}}}"


def csv_file_schema(schema: pa.Schema = RECORD_SCHEMA) -> str:
    """`fileSchema` of CSV files, which have no header: the columns' names as S3 writes them."""
    return ", ".join(
        "ETag" if name == "e_tag" else name.title().replace("_", "") for name in schema.names
    )
