"""Changes in the words of S3 Metadata's journal table."""

from datetime import UTC, datetime

import pytest

from inventory_assets.inventory.changes.journal_format import (
    CHANGE_DESCRIPTIONS,
    CHANGE_SCHEMA,
    to_journal,
)
from inventory_assets.inventory.changes.sorted_diff import Change, diff_sorted
from inventory_assets_tests.fakes.listings import Listed
from inventory_assets_tests.inventory.samples import DAY, NOW, records_of

MD5, OTHER_MD5 = "0123456789abcdef" * 2, "FEDCBA9876543210" * 2


def journal_of(old: list[Listed], new: list[Listed]) -> list[dict[str, object]]:
    """The rows that the difference of two days makes."""
    tables = [
        to_journal(table, "bucket", DAY, NOW)
        for table in diff_sorted([records_of(old)], [records_of(new)])
    ]
    assert all(table.schema == CHANGE_SCHEMA for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def test_every_change_has_the_journals_record_type() -> None:
    old = [
        Listed("deleted"),
        Listed("modified"),
        Listed("touched", modified=1000),
        Listed("transitioned", storage_class="STANDARD"),
    ]
    new = [
        Listed("created"),
        Listed("modified", e_tag="other"),
        Listed("touched", modified=2000),
        Listed("transitioned", storage_class="GLACIER"),
    ]
    types = {row["key"]: (row["change"], row["record_type"]) for row in journal_of(old, new)}
    assert types == {
        "created": ("created", "CREATE"),
        "deleted": ("deleted", "DELETE"),
        "modified": ("modified", "CREATE"),
        "touched": ("touched", "CREATE"),
        "transitioned": ("transitioned", "UPDATE_METADATA"),
    }


JOURNAL_COLUMNS = """bucket key sequence_number record_type record_timestamp version_id
is_delete_marker size last_modified_date e_tag storage_class is_multipart checksum_algorithm"""


def test_a_row_has_the_journals_columns_in_its_order() -> None:
    checkpoint_log = JOURNAL_COLUMNS.split()
    assert CHANGE_SCHEMA.names[: len(checkpoint_log)] == checkpoint_log
    (row,) = journal_of([], [Listed("k", size=5, e_tag="e-2", checksums=("CRC32",))])
    expected = {
        "bucket": "bucket",
        "key": "k",
        "sequence_number": "2026-05-05",
        "record_timestamp": NOW,
        "version_id": None,
        "is_delete_marker": False,
        "size": 5,
        "e_tag": "e-2",
        "is_multipart": True,
        "checksum_algorithm": "CRC32",
        "previous_size": None,
        "previous_e_tag": None,
    }
    assert {name: row[name] for name in expected} == expected


def test_a_deletion_has_nulls_where_the_journals_permanent_deletion_has_them() -> None:
    (row,) = journal_of([Listed("k", size=5, e_tag=MD5)], [])
    required = {"bucket", "key", "sequence_number", "record_type", "record_timestamp", "change"}
    told = {name for name, value in row.items() if value is not None}
    assert {name for name in told if not name.startswith("previous_")} == required
    assert (row["previous_size"], row["previous_e_tag"]) == (5, MD5)


@pytest.mark.parametrize(
    ("old", "new", "evidence"),
    [
        (Listed("k", size=1, e_tag="a-2"), Listed("k", size=2, e_tag="b-2"), "size"),
        (Listed("k", e_tag=MD5), Listed("k", e_tag=OTHER_MD5), "e_tag"),
        (Listed("k", e_tag=MD5), Listed("k", e_tag=f"{MD5}-2"), "none"),
        (Listed("k", e_tag=f"{MD5}-3"), Listed("k", e_tag=f"{MD5}-2"), "none"),
        (Listed("k", e_tag=MD5), Listed("k", e_tag="CKih16GjycICEAE="), "none"),
        (Listed("k", e_tag=MD5), Listed("k", e_tag=None), "none"),
        (Listed("k", e_tag=MD5), Listed("k", e_tag=MD5, modified=2000), None),
        (Listed("k", storage_class="A"), Listed("k", storage_class="B"), None),
    ],
)
def test_a_modified_object_names_the_evidence_of_other_content(
    old: Listed, new: Listed, evidence: str | None
) -> None:
    (row,) = journal_of([old], [new])
    assert row["content_evidence"] == evidence
    assert (row["change"] == Change.MODIFIED.value) == (evidence is not None)


def test_evidence_stands_beside_its_own_row() -> None:
    old = [Listed(key, size=1, e_tag=MD5) for key in "abcde"]
    new = [
        Listed("a", size=2, e_tag=OTHER_MD5),
        Listed("b", size=1, e_tag=OTHER_MD5),
        Listed("c", size=1, e_tag=MD5, modified=2000),
        Listed("d", size=1, e_tag=f"{MD5}-2"),
        Listed("e", size=1, e_tag=OTHER_MD5),
    ]
    evidence = [row["content_evidence"] for row in journal_of(old, new)]
    assert evidence == ["size", "e_tag", None, "none", "e_tag"]


def test_of_two_days_the_later_has_the_greater_sequence_number() -> None:
    (differences,) = diff_sorted([], [records_of([Listed("k")])])
    days = [datetime(2026, 5, day, tzinfo=UTC).date() for day in (9, 10)]
    numbers = [
        to_journal(differences, "bucket", day, NOW)["sequence_number"][0].as_py() for day in days
    ]
    assert numbers == sorted(set(numbers))


def test_every_column_is_described() -> None:
    assert set(CHANGE_SCHEMA.names) <= CHANGE_DESCRIPTIONS.keys()
