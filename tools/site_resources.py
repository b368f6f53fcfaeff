"""Check that no page of the built site loads anything from another host.

Run as `python -m tools.site_resources FOLDER`; the exit code is 1 where a page does.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_ATTRIBUTES = frozenset({"src", "srcset", "data", "poster"})
_EXTERNAL = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?\s*((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)


class _Resources(HTMLParser):
    """Collects the URLs that a browser loads with the page; links to follow do not count.

    Attributes:
        external: The addresses on other hosts.
    """

    def __init__(self) -> None:
        super().__init__()
        self.external: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            is_loaded = name in _ATTRIBUTES or (tag == "link" and name == "href")
            if is_loaded and value and _EXTERNAL.match(value):
                self.external.append(value)


def external_resources(folder: Path) -> Iterator[str]:
    """Lines that name a page or style sheet, and what it loads from another host."""
    for page in sorted(folder.rglob("*.html")):
        resources = _Resources()
        text = page.read_text("utf-8")
        resources.feed(text)
        for address in resources.external + _IN_STYLES.findall(text):
            yield f"{page.relative_to(folder)}: {address}"
    for sheet in sorted(folder.rglob("*.css")):
        for address in _IN_STYLES.findall(sheet.read_text("utf-8")):
            yield f"{sheet.relative_to(folder)}: {address}"


def main(folder: Path) -> int:
    """Print the resources of other hosts; the exit code is 1 if there are any."""
    found = list(external_resources(folder))
    for line in found:
        print(f"loads from another host: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
