from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from inventory_assets.inventory.metadata.answer_rows import Asked, answer_row, table_of_rows
from inventory_assets.inventory.metadata.schema import METADATA_DESCRIPTIONS, METADATA_SCHEMA
from inventory_assets.s3.object_answer import ObjectAnswer, ObjectError


def row_of(headers: Mapping[str, str] | None, e_tag: str = "e" * 32, **answer: Any) -> Any:
    asked = Asked("k", "v", e_tag, 1_700_000_000_123)
    given: dict[str, Any] = {"tags": None, "error": None, "requests": 1, **answer}
    rows = [answer_row(asked, ObjectAnswer(headers, **given), 1_700_000_000_456)]
    return table_of_rows(rows).to_pylist(maps_as_pydicts="strict")[0]


def test_every_column_is_described() -> None:
    assert [*METADATA_DESCRIPTIONS] == METADATA_SCHEMA.names


@pytest.mark.parametrize(
    ("name", "text", "column", "expected"),
    [
        ("content-type", "text/plain", "content_type", "text/plain"),
        ("cache-control", "no-store", "cache_control", "no-store"),
        ("x-amz-server-side-encryption", "AES256", "encryption_status", "SSE-S3"),
        ("x-amz-server-side-encryption", "aws:kms", "encryption_status", "SSE-KMS"),
        ("x-amz-server-side-encryption", "aws:kms:dsse", "encryption_status", "DSSE-KMS"),
        ("x-amz-server-side-encryption", "odd", "encryption_status", "odd"),
        (
            *("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            *("encryption_status", "SSE-C"),
        ),
        (
            *("x-amz-server-side-encryption-bucket-key-enabled", "true"),
            *("is_bucket_key_enabled", True),
        ),
        ("x-amz-replication-status", "COMPLETED", "replication_status", "COMPLETED"),
        ("x-amz-tagging-count", "3", "tag_count", 3),
        ("x-amz-tagging-count", "many", "tag_count", None),
        ("x-amz-mp-parts-count", "7", "part_count", 7),
        ("x-amz-archive-status", "ARCHIVE_ACCESS", "archive_status", "ARCHIVE_ACCESS"),
        ("x-amz-restore", 'ongoing-request="true"', "is_restore_in_progress", True),
        (
            *("x-amz-object-lock-retain-until-date", "2030-01-02T03:04:05.678Z"),
            *("object_lock_retain_until_date", datetime(2030, 1, 2, 3, 4, 5, 678000, UTC)),
        ),
        (
            *("x-amz-object-lock-retain-until-date", "soon"),
            *("object_lock_retain_until_date", None),
        ),
    ],
)
def test_a_header_is_a_column(name: str, text: str, column: str, expected: object) -> None:
    assert row_of({name: text})[column] == expected


def test_the_end_of_a_restored_copy_is_read() -> None:
    restored = 'ongoing-request="false", expiry-date="Fri, 21 Dec 2035 00:00:00 GMT"'
    row = row_of({"x-amz-restore": restored})
    assert row["is_restore_in_progress"] is False
    assert row["restore_expiry_date"] == datetime(2035, 12, 21, tzinfo=UTC)


@pytest.mark.parametrize("algorithm", ["crc32", "crc32c", "crc64nvme", "sha1", "sha256", "new"])
def test_a_checksum_of_any_algorithm_is_read(algorithm: str) -> None:
    row = row_of({f"x-amz-checksum-{algorithm}": "AA==", "x-amz-checksum-type": "COMPOSITE"})
    assert row["checksum_algorithm"] == algorithm.upper()
    assert (row["checksum"], row["checksum_type"]) == ("AA==", "COMPOSITE")


def test_user_metadata_is_read_as_utf_8_where_it_is() -> None:
    headers = {
        "x-amz-meta-name": "é".encode().decode("latin-1"),
        "x-amz-meta-latin": "\xe9",
        "x-amz-meta-": "empty name",
    }
    assert row_of(headers)["user_metadata"] == {"name": "é", "latin": "é", "": "empty name"}


def test_the_number_of_parts_is_that_of_the_etag_where_nothing_else_tells_it() -> None:
    assert row_of({}, e_tag=f"{'e' * 32}-12")["part_count"] == 12
    assert row_of({}, e_tag="e" * 32)["part_count"] is None


def test_a_checksum_of_parts_tells_its_type_and_their_number_where_nothing_else_does() -> None:
    row = row_of({"x-amz-checksum-sha256": "AA==-12"}, e_tag="no hash")
    assert (row["checksum_type"], row["part_count"]) == ("COMPOSITE", 12)
    row = row_of({"x-amz-checksum-sha256": "AA==", "x-amz-checksum-type": "FULL_OBJECT"})
    assert (row["checksum_type"], row["part_count"]) == ("FULL_OBJECT", None)
    assert row_of({"x-amz-checksum-sha256": "AA=="})["checksum_type"] is None


def test_an_object_without_user_metadata_or_tags_has_empty_maps() -> None:
    row = row_of({}, tags={})
    assert (row["user_metadata"], row["object_tags"]) == ({}, {})


def test_an_error_leaves_all_else_unknown() -> None:
    row = row_of(None, error=ObjectError.FORBIDDEN)
    known = {name for name, value in row.items() if value is not None}
    assert known == {"key", "version_id", "e_tag", "last_modified_date", "fetched_at", "error"}
    assert row["error"] == "forbidden"
