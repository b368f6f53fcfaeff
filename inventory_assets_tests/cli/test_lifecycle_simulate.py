"""`inventory lifecycle-simulate`: rules over a published inventory and over a path."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inventory_assets.cli import main
from inventory_assets_tests.cli.conftest import Outcome
from inventory_assets_tests.inventory.samples import DAY

Run = Callable[..., Outcome]


def write(folder: Path, *rules: dict[str, Any]) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps({"Rules": rules}))
    return path


def rule(name: str, prefix: str = "", **actions: Any) -> dict[str, Any]:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, **actions}


def simulated(run: Run, *arguments: object) -> Any:
    outcome = run("lifecycle-simulate", *arguments, "--format", "json")
    assert outcome.code == 0, outcome.error
    return json.loads(outcome.output)


def test_a_source_is_simulated_from_the_date_named(run: Run, tmp_path: Path) -> None:
    rules = write(
        tmp_path, rule("all", Expiration={"Days": 1}), rule("a", "a/", Expiration={"Days": 36_500})
    )
    document = simulated(run, f"source@{DAY}", "--rules", rules)
    assert document["at"] == str(DAY)
    assert document["records"]["objects"] == 8
    (action,) = document["rules"][0]["actions"]
    assert action["kind"] == "delete"
    assert len(action["daily"]) == 30
    assert action["at_rest"]["objects"] == 8
    assert {each["prefix"] for each in document["rules"][0]["prefixes"]} == {"a/", "b/"}
    (dispute,) = document["disputes"]
    assert (dispute["winner"], dispute["loser"], dispute["objects"]) == ("all", "a", 2)
    assert dispute["examples"] == ["a/1", "a/2"]
    assert document["money"]["label"].startswith("estimated, prices of ")


def test_a_day_can_be_given(run: Run, tmp_path: Path) -> None:
    rules = write(tmp_path, rule("all", Expiration={"Days": 1}))
    document = simulated(run, "source", "--rules", rules, "--at", "2100-01-01")
    assert document["at"] == "2100-01-01"
    assert document["rules"][0]["actions"][0]["daily"][0]["objects"] == 8


def test_a_folder_is_simulated_with_the_list_prices(
    run: Run, published: Path, tmp_path: Path
) -> None:
    rules = write(tmp_path, rule("all", Expiration={"Days": 1}))
    folder = published / "store" / "bucket" / "source"
    document = simulated(run, folder, "--rules", rules)
    assert document["records"]["objects"] == 8
    refused = run("lifecycle-simulate", folder)
    assert refused.code == 1
    assert "is a path, which names no bucket; add --rules FILE" in refused.error


def test_tables_name_rules_prefixes_and_disputes(run: Run, tmp_path: Path) -> None:
    rules = write(
        tmp_path,
        rule("all", Expiration={"Days": 1}),
        rule("new\nline", Expiration={"Days": 36_500}),
        rule("uploads", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
        {
            **rule("tagged", Expiration={"Days": 1}),
            "Filter": {"Tag": {"Key": "a", "Value": "b"}},
        },
    )
    outcome = run("lifecycle-simulate", f"source@{DAY}", "--rules", rules)
    text = outcome.output.decode()
    assert outcome.code == 0, outcome.error
    lines = text.splitlines()
    assert lines[0].startswith("8 objects (")
    assert lines[1].startswith("storage for a month: ")
    assert "(estimated, prices of " in lines[1]
    assert lines[2].startswith("once, within 30 days: 0 USD for 0 transitions")
    assert "rule uploads: incomplete uploads are not in a listing" in lines
    assert "rule tagged: unknown: filters by tag" in lines
    assert "new\\nline" in text
    heads = [line for line in lines if line.endswith(":")]
    assert heads == ["rules:", "prefixes, at rest:", "disputes of two rules:"]


def test_a_mistake_in_the_rules_is_told(run: Run, tmp_path: Path) -> None:
    rules = write(tmp_path, rule("all", Expiration={"Days": 0}))
    outcome = run("lifecycle-simulate", "source", "--rules", rules)
    assert outcome.code == 1
    assert outcome.error.startswith(
        f"inventory: {rules}: Rules[0] (all).Expiration.Days: found 0, expected a whole number"
    )


@pytest.mark.parametrize("day", ["soon", "2026-13-01"])
def test_a_day_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], day: str) -> None:
    with pytest.raises(SystemExit):
        main(["lifecycle-simulate", "source", "--at", day])
    assert f"'{day}' is not a date, such as 2026-11-22" in capsys.readouterr().err
