import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted(
    str(page.relative_to(REPOSITORY))
    for folder in (REPOSITORY, REPOSITORY / "docs")
    for page in folder.glob("*.md")
)
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


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_documentation_lead_somewhere(page: str) -> None:
    file = REPOSITORY / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text("utf-8"))
    assert [link for link in links if not (file.parent / link).exists()] == []
