"""Records that name the store they are in, as they read in another store.

Records name each other and data files by keys within the store. Only what readers of S3
Inventory, Hive and Athena use has absolute places: the destination in `inventory.json` and
`manifest.json`, and the URIs in `symlink.txt`. `manifest.checksum` follows from `manifest.json`,
and a hold names the ETag of `inventory.json`, which stores compute differently.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inventory_assets.inventory.manifest.s3_inventory_format import manifest_checksum, symlinks
from inventory_assets.inventory.storage.layout import FileKind, folder_of, parse_path
from inventory_assets.inventory.storage.layout import path_in_source as path_of
from inventory_assets.inventory.storage.store import Store


@dataclass(frozen=True, slots=True)
class Relocation:
    """From one store to another.

    Attributes:
        source: The store that is read.
        destination: The store that is written.
    """

    source: Store
    destination: Store

    def relocated(self, kind: FileKind, key: str, data: bytes) -> bytes:
        """A record as it reads in the destination; damaged bytes stay as they are.

        Args:
            kind: The kind of the record.
            key: Its key.
            data: Its bytes in the source.
        """
        rewrite = _REWRITES.get(kind)
        if rewrite is None:
            return data
        try:
            return rewrite(self, key, data)
        except (ValueError, KeyError, TypeError, AttributeError):
            return data

    def _destination(self) -> dict[str, str]:
        there = self.destination.destination
        return {"bucket_arn": there.bucket_arn, "prefix": there.prefix}

    def _manifest(self, _key: str, data: bytes) -> bytes:
        document = json.loads(data)
        if document["destination"] == self._destination():
            return data
        return _dumped({**document, "destination": self._destination()})

    def _held(self, key: str, data: bytes) -> bytes:
        document = json.loads(data)
        head = _manifest_beside(key)
        manifests = [{**each, "destination": self._destination()} for each in document["manifest"]]
        changed = {**document, "manifest": manifests}
        if document["replaces"] == self.source.etag(head):
            changed["replaces"] = self.destination.etag(head)
        return data if changed == document else _dumped(changed)

    def _s3_manifest(self, key: str, data: bytes) -> bytes:
        document = json.loads(data)
        there = self.destination.destination
        files = [
            {**each, "key": there.key(key_in_store(key, each["key"]))} for each in document["files"]
        ]
        changed = {**document, "destinationBucket": there.bucket_arn, "files": files}
        # As `manifest_document` writes it: readers of an inventory compare the bytes.
        return json.dumps(changed, indent=2).encode()

    def _checksum(self, key: str, data: bytes) -> bytes:
        manifest = f"{folder_of(key)}/manifest.json"
        before = self.source.read(manifest)
        if before is None or manifest_checksum(before) != data:
            return data  # an interrupted publication stays one
        return manifest_checksum(self._s3_manifest(manifest, before))

    def _symlink(self, key: str, data: bytes) -> bytes:
        keys = (key_in_store(key, line) for line in data.decode().splitlines())
        return symlinks([self.destination.uri(each) for each in keys])


_REWRITES: Mapping[FileKind, Callable[[Relocation, str, bytes], bytes]] = {
    FileKind.MANIFEST: Relocation._manifest,  # noqa: SLF001
    FileKind.SUPERSEDED: Relocation._manifest,  # noqa: SLF001
    FileKind.HELD: Relocation._held,  # noqa: SLF001
    FileKind.S3_MANIFEST: Relocation._s3_manifest,  # noqa: SLF001
    FileKind.CHECKSUM: Relocation._checksum,  # noqa: SLF001
    FileKind.SYMLINK: Relocation._symlink,  # noqa: SLF001
    FileKind.CHANGE_LOG_SYMLINK: Relocation._symlink,  # noqa: SLF001
}


def key_in_store(record: str, place: str) -> str:
    """The key of a data file, from the key, the key with a prefix, or the URI that a record names.

    Args:
        record: The key of the record, in the folder of the same source.
        place: What it names.

    Raises:
        ValueError: It is not in the folder of the source.
    """
    base = record.removesuffix(f"/{path_of(record)}")
    _, found, tail = f"/{place}".rpartition(f"/{base}/")
    if not found:
        raise ValueError(f"{place} is not in the folder {base}")
    return f"{base}/{tail}"


def _manifest_beside(held: str) -> str:
    """The key of the manifest of the date of a hold."""
    path = path_of(held)
    parsed = parse_path(path)
    return f"{held.removesuffix(path)}{FileKind.MANIFEST.path(parsed.day if parsed else None)}"


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
