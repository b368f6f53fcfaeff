"""Each kind of record refuses a newer number, and nothing replaces or removes it."""

import json
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import inventory_assets.inventory
from inventory_assets.inventory.errors import CorruptRecord, OtherFormat
from inventory_assets.inventory.folder_listing.folder_records import (
    BegunListing,
    FolderRecords,
    ListingRequest,
)
from inventory_assets.inventory.listing.shared_work import SHARED_KINDS
from inventory_assets.inventory.query.change_cursor import ChangeCursor
from inventory_assets.inventory.retention.collector import plan_collection
from inventory_assets.inventory.retention.policy import Retention
from inventory_assets.inventory.retention.tombstone_state import read_state
from inventory_assets.inventory.storage.commit import RecordFile, commit, publish
from inventory_assets.inventory.storage.layout import FileKind, Layout
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.storage.record_type import RecordType
from inventory_assets.inventory.storage.tombstones import tombstone_key
from inventory_assets.inventory.usage.usage_files import FORMAT, read_part_table

LAYOUT = Layout("bucket", "source")
DAY = date(2026, 5, 5)
NOW = datetime(2026, 5, 6, tzinfo=UTC)


def record_types() -> dict[FileKind, RecordType[Any]]:
    """All types of records, wherever they are declared."""
    found: dict[FileKind, RecordType[Any]] = {}
    package = inventory_assets.inventory
    for module in walk_packages(package.__path__, f"{package.__name__}."):
        values = vars(import_module(module.name)).values()
        found |= {each.kind: each for each in values if isinstance(each, RecordType)}
    return found


TYPES = record_types()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def test_every_kind_of_record_is_declared() -> None:
    without = {kind for kind in FileKind if kind.endswith(".json")} - TYPES.keys()
    # Those of a listing that goes on are read by the version that wrote them alone.
    without -= {*SHARED_KINDS}
    assert without == {FileKind.S3_MANIFEST}, "its format is that of S3 Inventory"


def sentence(where: str, title: str, newer: int, known: int) -> str:
    return (
        f"{where} ({title}) has format {newer}, and this version of inventory-assets reads formats "
        f"up to {known}: a newer version wrote it, and it was left as it is; upgrade "
        "inventory-assets"
    )


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_newer_number_is_refused_in_one_sentence_and_left(
    store: LocalStore, kind: FileKind
) -> None:
    record_type = TYPES[kind]
    key = f"{LAYOUT.base}/{kind.path(DAY, 'name')}"
    known = max(record_type.formats)
    newer = json.dumps({"format": known + 1, "what": "is new"}).encode()
    store.publish(key, newer)
    with pytest.raises(OtherFormat) as refused:
        record_type.read(store, key)
    assert str(refused.value) == sentence(store.where(key), record_type.title, known + 1, known)
    assert not isinstance(refused.value, CorruptRecord), "damaged records are made anew"
    file = RecordFile(key, b"{}", (), record_type.title, record_type.formats)
    for write in (publish, commit):
        with pytest.raises(OtherFormat):
            write(store, file)
    assert store.read(key) == newer


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff", b'{"format": "new"}'])
def test_a_damaged_record_is_told_from_a_newer_one_and_is_replaced(
    store: LocalStore, kind: FileKind, damage: bytes
) -> None:
    record_type = TYPES[kind]
    key = f"{LAYOUT.base}/{kind.path(DAY, 'name')}"
    store.publish(key, damage)
    with pytest.raises(CorruptRecord):
        record_type.read(store, key)
    publish(store, RecordFile(key, b"{}", (), record_type.title, record_type.formats))
    assert store.read(key) == b"{}"


@pytest.mark.parametrize("kind", [kind for kind, each in TYPES.items() if 1 not in each.formats])
@pytest.mark.parametrize("number", [1, 2])
def test_formats_from_before_the_first_release_are_refused_with_a_remedy(
    store: LocalStore, kind: FileKind, number: int
) -> None:
    record_type = TYPES[kind]
    key = f"{LAYOUT.base}/{kind.path(DAY, 'name')}"
    store.publish(key, json.dumps({"format": number}).encode())
    known = " and ".join(map(str, record_type.formats))
    with pytest.raises(OtherFormat) as refused:
        record_type.read(store, key)
    assert str(refused.value) == (
        f"{store.where(key)} ({record_type.title}) has format {number}, and this version of "
        f"inventory-assets reads {known}: a version from before the first release wrote it, and it "
        "was left as it is; move the folder of the source out of the store, and list again"
    )


def test_a_newer_usage_of_a_part_is_refused_and_an_older_one_computed_again(
    store: LocalStore, tmp_path: Path
) -> None:
    path, key = tmp_path / "usage.parquet", LAYOUT.part_usage("a/b/c.parquet")

    def stored(number: int) -> None:
        table = pa.table({"prefix": ["new"]})
        metadata = {b"usage_format": b"%d" % number, b"usage_records": b"1"}
        pq.write_table(table.replace_schema_metadata(metadata), path)
        store.publish(key, path.read_bytes())

    stored(FORMAT + 1)
    with pytest.raises(OtherFormat) as refused:
        read_part_table(store, key, 1)
    where = store.where(key)
    assert str(refused.value) == sentence(where, "usage of a part", FORMAT + 1, FORMAT)
    stored(FORMAT - 1)
    assert read_part_table(store, key, 1) is None


def test_a_newer_tombstone_is_refused(store: LocalStore) -> None:
    key = LAYOUT.part("0" * 64)
    store.publish(tombstone_key(key), b'{"format": 2}')
    with pytest.raises(OtherFormat, match=r"\(tombstone\) has format 2, .* up to 1"):
        read_state(store, key)


def test_the_records_of_a_listing_into_a_folder_are_refused_and_left(store: LocalStore) -> None:
    records = FolderRecords(store.root, store)
    begun = BegunListing(("list",), ListingRequest("identity", "described"), NOW)
    records.begin(begun)
    assert records.begun() == begun
    newer = b'{"format": 2}'
    for name in ("asked-for.json", "finished.json"):
        store.publish(name, newer)
    for use in (records.begun, records.finished, lambda: records.begin(begun)):
        with pytest.raises(OtherFormat, match=r"\(record of a listing\) has format 2"):
            use()
    assert store.read("asked-for.json") == newer


def test_a_newer_cursor_is_refused() -> None:
    cursor = ChangeCursor("bucket/source").to_json()
    assert ChangeCursor.from_json(cursor, "bucket/source") == ChangeCursor("bucket/source")
    newer = json.dumps({**json.loads(cursor), "format": 2})
    with pytest.raises(OtherFormat, match=r"the cursor .* has format 2, .* upgrade"):
        ChangeCursor.from_json(newer, "bucket/source")


def collected(store: LocalStore) -> None:
    plan_collection(store, LAYOUT, Retention(), DAY, NOW)


@pytest.mark.parametrize(
    ("path", "is_refused"),
    [
        ("new/dt=2026-05-05/record.json", True),
        ("record.json", True),
        ("iceberg/inventory/metadata/00000.metadata.json", False),
        ("tombstones/new/dt=2026-05-05/record.json", False),
        ("new/data/0.parquet", False),
        ("notes.txt", False),
    ],
)
def test_nothing_is_collected_beside_records_of_an_unknown_kind(
    store: LocalStore, path: str, is_refused: bool
) -> None:
    """A newer version may have kinds of records that name data files of today's kinds."""
    key = f"{LAYOUT.base}/{path}"
    store.publish(key, b"{}")
    if is_refused:
        with pytest.raises(OtherFormat, match=r"is of no kind .* upgrade inventory-assets, or"):
            collected(store)
    else:
        collected(store)


def test_nothing_is_collected_in_a_folder_of_a_newer_format(store: LocalStore) -> None:
    store.publish(LAYOUT.source_record, b'{"format": 2}')
    with pytest.raises(OtherFormat, match=r"\(record of a source\) has format 2"):
        collected(store)
