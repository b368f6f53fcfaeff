"""The schema for editors and the documentation name every field."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from inventory_assets.config import json_schema
from inventory_assets_tests.config.files import DOCS


def test_the_schema_for_editors_is_up_to_date() -> None:
    text = (DOCS / "inventory.schema.json").read_text("utf-8")

    assert text == json.dumps(json_schema(), indent=2) + "\n"


def tables(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    yield from schema["$defs"].values()


def test_the_schema_describes_every_field() -> None:
    for table in tables(json_schema()):
        assert table["title"]
        assert table["additionalProperties"] is False
        for name, field in table["properties"].items():
            assert field["description"], name
            assert field.get("title") or field.get("$ref"), name


def test_the_schema_knows_no_null_as_toml_has_none() -> None:
    assert "null" not in json.dumps(json_schema())


def test_the_reference_names_every_field_with_its_default() -> None:
    page = (DOCS / "reference" / "configuration.md").read_text("utf-8")

    for table in tables(json_schema()):
        for name, field in table["properties"].items():
            if "default" in field and "$ref" not in field:
                assert f"| `{name}` | `{json.dumps(field['default'])}` |" in page
            else:
                assert f"`{name}`" in page


def test_the_example_in_the_documentation_names_every_field() -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    example = tomllib.loads(page.partition("```toml\n")[2].partition("```")[0])

    logs = example["sources"]["logs"]
    schema = json_schema()
    assert set(logs["shards"]) == set(schema["$defs"]["Shards"]["properties"])
    assert set(logs["schedule"]) == set(schema["$defs"]["Schedule"]["properties"])
    assert set(logs["exports"]) == set(schema["$defs"]["Exports"]["properties"])
    assert set(logs["hygiene"]) == set(schema["$defs"]["Hygiene"]["properties"])
    assert set(logs["growth"]) == set(schema["$defs"]["Growth"]["properties"])
    assert set(logs["metadata"]) == set(schema["$defs"]["Metadata"]["properties"])
    assert set(logs["gate"]) == set(schema["$defs"]["Gate"]["properties"])
    assert set(logs["alerts"]) | {"email"} == set(schema["$defs"]["Alerts"]["properties"])
    assert set(logs["alerts"]["email"]) == set(schema["$defs"]["Email"]["properties"])
    assert set(logs["retention"]) == set(schema["$defs"]["Retention"]["properties"])
    assert set(logs["budget"]) == set(schema["$defs"]["Budget"]["properties"])
    given = {name for table in example["sources"].values() for name in table}
    assert given == set(schema["$defs"]["SourceTable"]["properties"])
