import re
from pathlib import Path

import pytest

from inventory_assets.inventory.manifest.manifest import manifest_json_schema
from inventory_assets.inventory.manifest.snapshot import FORMAT, FORMAT_OF_VERSIONS
from tools import reference, site_resources

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted(
    str(page.relative_to(REPOSITORY))
    for folder in (REPOSITORY.glob("*.md"), (REPOSITORY / "docs").rglob("*.md"))
    for page in folder
)
MANIFEST_PAGE = REPOSITORY / "docs/manifest.md"
NAMED_TEST = re.compile(r"`([a-z0-9_/]+\.py)::(test_\w+)`")


def test_every_test_that_the_invariants_name_exists() -> None:
    named = NAMED_TEST.findall((REPOSITORY / "docs/invariants.md").read_text("utf-8"))
    assert len(named) > 30
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (Path(__file__).parent / file).read_text("utf-8")
    ]
    assert missing == []


@pytest.mark.parametrize(
    "page",
    ["README.md", *(str(p.relative_to(REPOSITORY)) for p in (REPOSITORY / "docs").rglob("*.md"))],
)
def test_links_within_the_documentation_lead_somewhere(page: str) -> None:
    file = REPOSITORY / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text("utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []


@pytest.mark.parametrize("page", reference.pages(), ids=lambda page: page.name)
def test_a_generated_reference_page_is_current(page: Path) -> None:
    assert page.read_text("utf-8") == reference.pages()[page], "run `make docs`, and commit"


def test_the_site_has_a_place_for_every_page_of_the_documentation() -> None:
    navigation = (REPOSITORY / "zensical.toml").read_text("utf-8")
    pages = (REPOSITORY / "docs").rglob("*.md")
    names = [str(page.relative_to(REPOSITORY / "docs")) for page in pages]
    assert [name for name in names if f'"{name}"' not in navigation] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example.com/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.com/a.css">',
        "<style>@import 'https://fonts.example.com/a.css'</style>",
    ],
)
def test_a_page_that_loads_from_another_host_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert site_resources.main(tmp_path) == 1


def test_links_that_are_followed_load_nothing(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<a href="https://example.com"><img src="a.png"></a>')
    assert site_resources.main(tmp_path) == 0


def test_the_page_of_the_manifest_describes_its_fields_and_no_others() -> None:
    rows = [
        line for line in MANIFEST_PAGE.read_text("utf-8").splitlines() if line.startswith("| `")
    ]
    named = [name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[1])]
    schema = manifest_json_schema()
    properties, definitions = schema["properties"], schema["$defs"]
    assert isinstance(properties, dict)
    assert isinstance(definitions, dict)
    nested = {
        *(f"shards[].{name}" for name in definitions["ShardEntry"]["properties"]),
        *(f"shards[].parts[].{name}" for name in definitions["Part"]["properties"]),
    }
    assert set(properties) <= set(named)
    assert set(named) <= {*properties, *nested}


def test_the_page_of_the_manifest_names_its_formats() -> None:
    row = f"| `format` | {FORMAT}, or {FORMAT_OF_VERSIONS} if versions are listed"
    assert row in MANIFEST_PAGE.read_text("utf-8")
