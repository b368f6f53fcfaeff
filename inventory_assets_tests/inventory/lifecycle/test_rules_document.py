"""Rules are read from S3's JSON, and refused as S3 refuses them, with the rule and the remedy."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.inventory.errors import RulesInvalid
from inventory_assets.inventory.lifecycle.rules import (
    Expiration,
    LifecycleRules,
    MinimumSize,
    NoncurrentExpiration,
    NoncurrentTransition,
    Rule,
    Transition,
)
from inventory_assets.inventory.lifecycle.rules_document import parse_rules, read_rules

ALL = {"Prefix": ""}
END = {"Days": 365}
RULE = {"ID": "r", "Status": "Enabled", "Filter": ALL, "Expiration": END}


def mistakes(document: object) -> list[str]:
    with pytest.raises(RulesInvalid) as caught:
        parse_rules(document, "rules.json")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("rules.json: ") for line in lines)
    return [line.removeprefix("rules.json: ") for line in lines]


def mistake(**fields: Any) -> str:
    """The one mistake of a rule that is right but for these fields; None removes a field."""
    rule = {name: value for name, value in {**RULE, **fields}.items() if value is not None}
    (line,) = mistakes({"Rules": [rule]})
    return line


def test_every_field_is_read(tmp_path: Path) -> None:
    document = {
        "TransitionDefaultMinimumObjectSize": "varies_by_storage_class",
        "Rules": [
            {
                "ID": "all",
                "Status": "Enabled",
                "Filter": {
                    "And": {
                        "Prefix": "logs/",
                        "Tags": [{"Key": "team", "Value": "a=b"}],
                        "ObjectSizeGreaterThan": 500,
                        "ObjectSizeLessThan": 64_000,
                    }
                },
                "Transitions": [
                    {"Days": 30, "StorageClass": "STANDARD_IA"},
                    {"Days": 90, "StorageClass": "GLACIER"},
                ],
                "Expiration": {"Days": 365},
                "NoncurrentVersionTransitions": [
                    {
                        "NoncurrentDays": 30,
                        "StorageClass": "ONEZONE_IA",
                        "NewerNoncurrentVersions": 2,
                    }
                ],
                "NoncurrentVersionExpiration": {
                    "NoncurrentDays": 60,
                    "NewerNoncurrentVersions": 5,
                },
            },
            {
                "Status": "Disabled",
                "Prefix": "old/",
                "Transitions": [{"Date": "2027-01-01T00:00:00Z", "StorageClass": "DEEP_ARCHIVE"}],
                "Expiration": {"Date": "2028-01-01"},
            },
            {
                "ID": "clean",
                "Status": "Enabled",
                "Filter": {},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
            },
        ],
    }
    path = tmp_path / "lifecycle.json"
    path.write_text(json.dumps(document))
    assert read_rules(path) == LifecycleRules(
        (
            Rule(
                "all",
                prefix="logs/",
                greater_than=500,
                less_than=64_000,
                tags=("team=a=b",),
                transitions=(Transition("STANDARD_IA", 30), Transition("GLACIER", 90)),
                expiration=Expiration(365),
                noncurrent_transitions=(NoncurrentTransition("ONEZONE_IA", 30, 2),),
                noncurrent_expiration=NoncurrentExpiration(60, 5),
            ),
            Rule(
                "rule-2",
                enabled=False,
                prefix="old/",
                transitions=(Transition("DEEP_ARCHIVE", date=dt.date(2027, 1, 1)),),
                expiration=Expiration(date=dt.date(2028, 1, 1)),
            ),
            Rule("clean", expiration=Expiration(markers=True), abort_uploads_days=7),
        ),
        MinimumSize.BY_CLASS,
    )


def test_times_of_boto3_are_dates() -> None:
    moment = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
    rules = parse_rules({"Rules": [{**RULE, "Expiration": {"Date": moment}}]}, "the bucket")
    assert rules.rules[0].expiration == Expiration(date=dt.date(2027, 1, 1))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"Status": "enabled"}, 'Status: found "enabled", expected Enabled or Disabled; write one'),
        ({"Status": None}, "Status: found nothing, expected Enabled or Disabled"),
        ({"ID": "x" * 256}, "ID: found 256 characters, expected at most 255; shorten it"),
        ({"ID": 7}, "ID: found 7, expected a text; write one, or remove it"),
        ({"Prefix": "a"}, "Prefix: found together with Filter, expected one; move it into Filter"),
        ({"Filter": None}, "Filter: found nothing, expected an object; write"),
        (
            {"Filter": {"Prefix": "a", "ObjectSizeLessThan": 5}},
            "Filter: found Prefix, ObjectSizeLessThan, expected one of them; put several into And",
        ),
        ({"Filter": {"And": {}}}, "Filter.And: found {}, expected an object of conditions"),
        ({"Filter": {"prefix": "a"}}, "Filter.prefix: unknown field; did you mean 'Prefix'?"),
        (
            {"Filter": {"ObjectSizeGreaterThan": "5"}},
            'Filter.ObjectSizeGreaterThan: found "5", expected a whole number, 0 or more',
        ),
        (
            {"Filter": {"And": {"ObjectSizeGreaterThan": 5, "ObjectSizeLessThan": 6}}},
            "Filter.And.ObjectSizeGreaterThan: found 5, expected less than ObjectSizeLessThan (6)",
        ),
        (
            {"Filter": {"Tag": {"Key": "a"}}},
            'Filter.Tag: found {"Key": "a"}, expected a tag; write',
        ),
        ({"Filter": {"Tag": {}}}, "Filter.Tag: found {}, expected a tag; write"),
        (
            {"Filter": {"And": {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}}},
            "Filter.And.Tags: found a key twice, expected each key once; remove one",
        ),
        ({"Expiration": None}, "found no action, expected one or more; add one of Transitions"),
        ({"Expiration": {"Days": 0}}, "Expiration.Days: found 0, expected a whole number, 1 or"),
        ({"Expiration": {"Days": True}}, "Expiration.Days: found true, expected a whole number"),
        (
            {"Expiration": {"Days": 1, "Date": "2027-01-01"}},
            "Expiration: found Days together with Date, expected one of them; remove one",
        ),
        ({"Expiration": {}}, "Expiration: found {}, expected an object with fields"),
        (
            {"Expiration": {"Date": "2027-01-01T01:00:00Z"}},
            "Expiration.Date: found 2027-01-01T01:00:00+00:00, expected midnight UTC",
        ),
        (
            {"Expiration": {"Date": "soon"}},
            'Expiration.Date: found "soon", expected a date in ISO 8601; write for example',
        ),
        (
            {"Expiration": {"Days": 5, "ExpiredObjectDeleteMarker": True}},
            "Expiration.Days: found together with ExpiredObjectDeleteMarker, expected one of them",
        ),
        (
            {"Expiration": {"ExpiredObjectDeleteMarker": "yes"}},
            'Expiration.ExpiredObjectDeleteMarker: found "yes", expected true or false',
        ),
        (
            {
                "Filter": {"Tag": {"Key": "a", "Value": "b"}},
                "Expiration": {"ExpiredObjectDeleteMarker": True},
            },
            "Expiration.ExpiredObjectDeleteMarker: found together with a filter by tag",
        ),
        (
            {
                "Filter": {"Tag": {"Key": "a", "Value": "b"}},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            },
            "AbortIncompleteMultipartUpload: found together with a filter by tag",
        ),
        (
            {"Transitions": [{"Days": 10, "StorageClass": "STANDARD_IA"}]},
            "Transitions[0].Days: found 10, expected at least 30 for STANDARD_IA; raise it",
        ),
        (
            {"Transitions": [{"Days": 10, "StorageClass": "GLACIR"}]},
            'Transitions[0].StorageClass: found "GLACIR", expected one of STANDARD_IA, INTELLI',
        ),
        (
            {"Transitions": [{"StorageClass": "GLACIER"}]},
            "Transitions[0]: found neither Days nor Date, expected one of them; add one",
        ),
        (
            {"Transitions": [{"Days": -1, "StorageClass": "GLACIER"}]},
            "Transitions[0].Days: found -1, expected a whole number, 0 or more; correct it",
        ),
        (
            {
                "Transitions": [
                    {"Days": 1, "StorageClass": "GLACIER"},
                    {"Days": 1, "StorageClass": "GLACIER"},
                ]
            },
            "Transitions: found GLACIER 2 times, expected each class once; remove the rest",
        ),
        (
            {
                "Transitions": [
                    {"Days": 40, "StorageClass": "GLACIER"},
                    {"Days": 30, "StorageClass": "STANDARD_IA"},
                ]
            },
            "Transitions: found GLACIER after 40 days, expected 60 or more, as STANDARD_IA comes",
        ),
        (
            {"Transitions": [{"Date": "2027-01-01", "StorageClass": "GLACIER"}]},
            "Transitions: found Days and Date in one rule, expected one of them; use a second",
        ),
        (
            {"Transitions": [{"Days": 365, "StorageClass": "GLACIER"}]},
            "Expiration.Days: found 365, expected more than the 365 days of the last transition",
        ),
        (
            {
                "Transitions": [{"Date": "2027-01-01", "StorageClass": "GLACIER"}],
                "Expiration": {"Date": "2027-01-01"},
            },
            "Expiration.Date: found 2027-01-01, expected a later date than those of Transitions",
        ),
        ({"Transitions": {}}, "Transitions: found {}, expected a list; write [{…}]"),
        ({"Transition": []}, "Transition: unknown field; did you mean 'Transitions'?"),
        (
            {"NoncurrentVersionTransitions": [{"NoncurrentDays": 5, "StorageClass": "ONEZONE_IA"}]},
            "NoncurrentVersionTransitions[0].NoncurrentDays: found 5, expected at least 30",
        ),
        (
            {"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 3}},
            "NoncurrentVersionExpiration.NoncurrentDays: found nothing, expected 1 or more; add it",
        ),
        (
            {"NoncurrentVersionExpiration": {"NoncurrentDays": 0}},
            "NoncurrentVersionExpiration.NoncurrentDays: found 0, expected a whole number, 1 or",
        ),
        (
            {
                "NoncurrentVersionExpiration": {
                    "NoncurrentDays": 1,
                    "NewerNoncurrentVersions": 101,
                }
            },
            (
                "NoncurrentVersionExpiration.NewerNoncurrentVersions: found 101, expected a whole "
                "number, 1 to 100"
            ),
        ),
        (
            {
                "Filter": None,
                "Prefix": "",
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
            },
            "NoncurrentVersionExpiration.NewerNoncurrentVersions: found without Filter",
        ),
        (
            {
                "NoncurrentVersionTransitions": [{"NoncurrentDays": 9, "StorageClass": "GLACIER"}],
                "NoncurrentVersionExpiration": {"NoncurrentDays": 9},
            },
            "NoncurrentVersionExpiration.NoncurrentDays: found 9, expected more than the 9 days",
        ),
        (
            {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}},
            "AbortIncompleteMultipartUpload.DaysAfterInitiation: found 0, expected a whole number",
        ),
    ],
)
def test_a_mistake_names_the_rule_the_field_and_the_remedy(
    fields: dict[str, Any], told: str
) -> None:
    line = mistake(**fields)
    place, _, rest = line.partition(")")
    assert place.startswith("Rules[0] (")
    assert rest.lstrip(".: ").startswith(told)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "found [], expected an object with Rules: "),
        ({}, "Rules: found nothing, expected a list of rules: "),
        ({"Rules": []}, "Rules: found [], expected a list of rules: "),
        ({"Rules": [7]}, "Rules[0] (rule-1): found 7, expected an object; write the rule as {…}"),
        ({"Rule": [RULE], "Rules": [RULE]}, "Rule: unknown field; did you mean 'Rules'?"),
        (
            {"Rules": [RULE] * 1001},
            "Rules: found 1,001 rules, expected at most 1,000, S3's limit; join rules, or",
        ),
        (
            {"Rules": [RULE, RULE]},
            "Rules: found 2 rules with the ID 'r', expected one; rename them",
        ),
        (
            {"Rules": [RULE], "TransitionDefaultMinimumObjectSize": "none"},
            'TransitionDefaultMinimumObjectSize: found "none", expected all_storage_classes_128K',
        ),
    ],
)
def test_a_mistake_of_the_document_is_told(document: object, told: str) -> None:
    (line,) = mistakes(document)
    assert line.startswith(told)


def test_all_mistakes_are_told_at_once_and_no_more_than_people_read() -> None:
    lines = mistakes({"Rules": [{"ID": f"r{n}", "Filter": ALL} for n in range(100)]})
    assert len(lines) == 51
    assert lines[0].startswith("Rules[0] (r0).Status: ")
    assert lines[-1] == "and 150 more mistakes"


def test_hostile_text_is_escaped() -> None:
    rule = {**RULE, "ID": "a\nb\u202e", "Status": "?"}
    (line,) = mistakes({"Rules": [rule]})
    assert "a\\nb\\u202e" in line


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "found a mistake in the JSON: "),
        (b"\xff", "found byte 0 not to be UTF-8; save the file as UTF-8"),
        (b"[" * 100_000, "found a mistake in the JSON: "),
    ],
)
def test_a_file_that_is_no_json_is_an_error(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(content)
    with pytest.raises(RulesInvalid) as caught:
        read_rules(path)
    assert str(caught.value).startswith(f"{path}: {told}")


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RulesInvalid, match=r"gone\.json: found no such file, expected S3's"):
        read_rules(tmp_path / "gone.json")
