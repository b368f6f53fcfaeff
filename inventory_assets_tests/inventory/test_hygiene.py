from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import product

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory_assets.inventory.errors import CorruptRecord
from inventory_assets.inventory.hygiene import rows
from inventory_assets.inventory.hygiene.findings import StorageTotal
from inventory_assets.inventory.hygiene.odd_keys import ODD_KEYS
from inventory_assets.inventory.hygiene.report import (
    DUPLICATES,
    SMALL,
    TITLES,
    UNTOUCHED,
    UPLOADS,
    StoragePrice,
)
from inventory_assets.inventory.hygiene.survey import (
    SurveyOptions,
    publish_report,
    read_report,
)
from inventory_assets.inventory.hygiene.usage_findings import usage_findings
from inventory_assets.inventory.manifest.manifest import Manifest
from inventory_assets.inventory.manifest.manifest_merge import merge, publish_manifest
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets.inventory.usage.schema import SIZE_BOUNDS
from inventory_assets.s3.bucket_config import BucketConfig
from inventory_assets.s3.upload_client import UploadClient
from inventory_assets.scan.keyspace.shard import make_shard
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.fakes.upload_store import HeldUpload, UploadStore
from inventory_assets_tests.inventory.samples import DAY, LAYOUT, NOW, snapshot_of

KB_128 = 2**17
MINIMA = {"STANDARD_IA": KB_128, "GLACIER_IR": KB_128}


def _manifest(store: LocalStore, objects: Sequence[Listed], day: date = DAY) -> Manifest:
    every = ["", "a/"]
    snapshots = {}
    for prefix in every:
        shard = make_shard(prefix, every)
        held = [each for each in objects if shard.covers(each.key)]
        snapshots[prefix] = snapshot_of(store, shard, held, day)
    manifest = merge(store, LAYOUT, "", snapshots, NOW)
    publish_manifest(store, LAYOUT, manifest)
    return manifest


def _prices(whole: Sequence[StorageTotal]) -> StoragePrice:
    assert sum(total.objects for total in whole) == 4
    return lambda totals: sum(total.bytes * 0.5 for total in totals)


OBJECTS = [
    Listed("a//1", 10),
    Listed("a/2", 30, e_tag="a" * 32),
    Listed("b/3.", 30, e_tag="a" * 32),
    Listed("b/\x1b[31m", 1),
]


def test_a_report_has_all_findings_with_cost_and_can_be_read_again(store: LocalStore) -> None:
    manifest = _manifest(store, OBJECTS)
    uploads = UploadClient(BucketConfig("bucket"), UploadStore([HeldUpload("x/y", "1", NOW, (8,))]))
    options = SurveyOptions(
        duplicates=True, uploads=uploads, part_requests=9, prices=_prices, prices_label="dear"
    )
    report = publish_report(store, LAYOUT, manifest, options, NOW)
    assert read_report(store, LAYOUT, DAY) == report
    assert (report.objects, report.bytes) == (4, 71)
    assert report.manifest_identity == manifest.identity
    found = {
        finding.name: (finding.objects, finding.bytes, finding.monthly_usd)
        for finding in report.findings
        if finding.objects
    }
    assert found == {
        UPLOADS: (1, 8, 4.0),
        DUPLICATES: (1, 30, 15.0),
        "empty_segments": (1, 10, 5.0),
        "control_characters": (1, 1, 0.5),
        "trailing_spaces_or_dots": (1, 30, 15.0),
    }
    assert [finding.name for finding in report.findings] == [UPLOADS, DUPLICATES, *ODD_KEYS]
    assert [each.key for each in report.largest] == ["a/2", "b/3.", "a//1", "b/\x1b[31m"]
    assert [(share.prefix, share.objects) for share in report.crowded] == [
        ("b/", 2),
        ("a/", 1),
        ("a//", 1),
    ]
    assert report.skew
    assert (report.skew.crowded_share, report.skew.largest_share) == (0.5, 1.0)
    assert report.uploads
    assert len(report.uploads.oldest) == 1


def test_what_is_not_searched_for_is_said(store: LocalStore) -> None:
    uploads = UploadClient(BucketConfig("bucket"), UploadStore([], error="NotImplemented"))
    manifest = _manifest(store, OBJECTS)
    report = publish_report(store, LAYOUT, manifest, SurveyOptions(uploads=uploads), NOW)
    said = "\n".join(report.left_out)
    assert "versions are not listed" in said
    assert "hygiene.duplicates is not set" in said
    assert "incomplete multipart uploads: bucket 'bucket' at AWS: " in said
    assert report.finding(UPLOADS) is None
    assert report.uploads is None
    without = publish_report(store, LAYOUT, manifest, SurveyOptions(), NOW)
    assert "hygiene.multipart_uploads is not set" in "\n".join(without.left_out)


def test_an_unknown_price_is_no_price_of_zero(store: LocalStore) -> None:
    report = publish_report(store, LAYOUT, _manifest(store, OBJECTS), SurveyOptions(), NOW)
    costs = {finding.monthly_usd for finding in report.findings if finding.objects}
    assert costs == {None}


def test_only_parts_that_no_earlier_date_has_are_read(store: LocalStore) -> None:
    first = _manifest(store, OBJECTS)
    publish_report(store, LAYOUT, first, SurveyOptions(), NOW)
    tomorrow = DAY + timedelta(days=1)
    second = _manifest(store, [*OBJECTS, Listed("c", 5)], tomorrow)
    shared = first.part_keys & second.part_keys
    assert len(shared) == 1
    for key in shared:
        store.remove_key(key)
    report = publish_report(store, LAYOUT, second, SurveyOptions(), NOW)
    assert (report.objects, report.day) == (5, tomorrow)


def test_an_inventory_without_objects_has_a_report(store: LocalStore) -> None:
    options = SurveyOptions(duplicates=True)
    report = publish_report(store, LAYOUT, _manifest(store, []), options, NOW)
    assert (report.objects, report.skew, report.crowded) == (0, None, ())
    assert {finding.objects for finding in report.findings} == {0}
    assert {finding.monthly_usd for finding in report.findings} == {0.0}


def test_a_damaged_report_is_an_error_with_a_remedy(store: LocalStore) -> None:
    store.publish(LAYOUT.hygiene(DAY), b"{}")
    with pytest.raises(CorruptRecord, match=f"materialize hygiene_report for {DAY} again"):
        read_report(store, LAYOUT, DAY)


def test_rows_are_few_printable_and_have_units(store: LocalStore) -> None:
    manifest = _manifest(store, [*OBJECTS, *(Listed(f"n{i}//x", 2_000_000) for i in range(40))])
    uploads = [HeldUpload(f"u{i}/\x1b", str(i)) for i in range(40)]
    client = UploadClient(BucketConfig("bucket"), UploadStore(uploads))
    options = SurveyOptions(uploads=client, part_requests=3)
    report = publish_report(store, LAYOUT, manifest, options, NOW)
    tables = [
        rows.finding_rows(report),
        rows.prefix_rows(report),
        rows.largest_rows(report),
        rows.crowded_rows(report),
        rows.upload_rows(report),
    ]
    assert all(0 < len(table) <= 20 for table in tables)
    cells = [str(cell) for table in tables for row in table for cell in row.values()]
    assert all(cell.isprintable() for cell in [*cells, *rows.note_lines(report)])
    by_title = {row["finding"]: row for row in rows.finding_rows(report)}
    assert by_title[TITLES["empty_segments"]]["size"] == "80.0 MB"
    assert by_title[TITLES[UPLOADS]]["size"] == "0 B, and 37 of unknown size"
    assert by_title[TITLES[UPLOADS]]["usd_a_month"] == "unknown"
    assert [row["size"] for row in rows.upload_rows(report)][:4] == ["0 B"] * 3 + ["unknown"]


_classes = st.sampled_from(["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER"])
_records = st.lists(
    st.tuples(
        st.sampled_from(["a/x", "a/b/y", "z"]),
        _classes,
        st.sampled_from([0, 1, KB_128 - 1, KB_128, 2**35]),
        st.dates(date(2024, 1, 1), date(2026, 12, 31)),
        st.sampled_from(["current", "noncurrent", "delete_marker"]),
    ),
    max_size=20,
)


@given(records=_records, day=st.dates(date(2025, 1, 1), date(2026, 12, 31)))
def test_findings_of_an_aggregate_are_those_of_its_records(
    records: list[tuple[str, str, int, date, str]], day: date
) -> None:
    found = {each.name: each for each in usage_findings(_usage(records), day, _free, MINIMA)}
    current = [each for each in records if each[4] == "current"]
    small = [
        each for each in current if each[1] in {"STANDARD_IA", "GLACIER_IR"} and each[2] < KB_128
    ]
    bound = date(day.year - 1, day.month, 1)
    untouched = [each for each in current if each[1] == "STANDARD" and each[3] < bound]
    assert all((day - each[3]).days >= 365 for each in untouched)
    for name, expected in ((SMALL, small), (UNTOUCHED, untouched)):
        assert (found[name].objects, found[name].bytes) == (
            len(expected),
            sum(each[2] for each in expected),
        )
        for share in found[name].worst:
            beneath = [each for each in expected if each[0].startswith(share.prefix)]
            assert (share.objects, share.bytes) == (
                len(beneath),
                sum(each[2] for each in beneath),
            )


def _free(totals: Sequence[StorageTotal]) -> float | None:
    return 0.0 * len(totals)


def _usage(records: Sequence[tuple[str, str, int, date, str]]) -> pa.Table:
    """The cumulative aggregate of records, row by row."""
    rows_of_usage = []
    for (key, storage_class, size, modified, state), depth in product(records, range(3)):
        if depth <= key.count("/"):
            rows_of_usage.append(
                {
                    "prefix": "".join(f"{name}/" for name in key.split("/")[:depth]),
                    "storage_class": storage_class,
                    "size_band": sum(size >= bound for bound in SIZE_BOUNDS),
                    "month": modified.replace(day=1),
                    "state": state,
                    "objects": 1,
                    "bytes": size,
                }
            )
    schema = pa.schema(
        [
            ("prefix", pa.string()),
            ("storage_class", pa.string()),
            ("size_band", pa.int8()),
            ("month", pa.date32()),
            ("state", pa.string()),
            ("objects", pa.int64()),
            ("bytes", pa.int64()),
        ]
    )
    return pa.Table.from_pylist(rows_of_usage, schema=schema)


def test_a_report_with_an_aggregate_has_its_findings(store: LocalStore) -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC).date()
    usage = _usage([("a/2", "STANDARD", 30, old, "current")])
    options = SurveyOptions(usage=usage)
    report = publish_report(store, LAYOUT, _manifest(store, OBJECTS), options, NOW)
    untouched = report.finding(UNTOUCHED)
    assert untouched
    assert untouched.objects == 1
    assert not [text for text in report.left_out if "usage" in text]
