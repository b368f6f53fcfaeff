"""The report of `make test-stores`: how each odd store was listed, and the totals.

Run as a module it prints the figures of the last run as the table of docs/reliability.md.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inventory_assets_tests.stores.cases import all_cases
from inventory_assets_tests.stores.listing_runs import Outcome

PROPERTY = "odd store"
"""The name of the property of a test's report."""

LAST_RUN = Path("build") / "stores.json"

KINDS = ("exact", "refused", "lost", "doubled")
"""How a listing ends."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Notes rows of the report.

    Attributes:
        properties: Of the test that is running.
    """

    properties: list[tuple[str, object]]

    def __call__(self, says: str, outcome: Outcome) -> None:
        """Note what came of one listing."""
        self.properties.append(
            (
                PROPERTY,
                ["case", says, outcome.strategy, outcome.requests, outcome.result, outcome.kind],
            )
        )

    def stories(self, what: str, results: Counter[str]) -> None:
        """Note what came of many listings: how many ended in each way."""
        self.properties.append((PROPERTY, ["stories", what, dict(results)]))


def rows_of(properties: Iterable[tuple[str, object]]) -> list[list[object]]:
    """The rows among the properties of a test."""
    return [value for name, value in properties if name == PROPERTY and isinstance(value, list)]


def table(rows: list[list[object]]) -> list[str]:
    """The lines of the report."""
    lines = []
    for row in rows:
        if row[0] == "case":
            _, says, strategy, requests, result, _ = row
            lines.append(f"{result!s:<38.60} {requests!s:>5} requests  {says}  [{strategy}]")
    for row in rows:
        if row[0] == "stories" and isinstance(row[2], dict):
            told = ", ".join(f"{count:,} {result}" for result, count in sorted(row[2].items()))
            lines.append(f"{row[1]}: {told}")
    return lines


def keep(rows: list[list[object]]) -> None:
    """Keep the rows of a run for `main`."""
    LAST_RUN.parent.mkdir(exist_ok=True)
    LAST_RUN.write_text(json.dumps({"on": str(datetime.now(UTC).date()), "rows": rows}))


def figures(on: str, rows: list[list[object]]) -> list[str]:
    """The figures of a run for docs/reliability.md."""
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        if row[0] == "case":
            kinds.setdefault("a store each, over HTTP", Counter())[str(row[5])] += 1
        elif isinstance(row[2], dict):
            what = str(row[1]).partition(" (")[0]
            kinds.setdefault(what, Counter()).update(row[2])
    habits = {
        (name, str(value)) for case in all_cases() for name, value in case.habits.unusual.items()
    }
    lines = [
        f"`make test-stores`, {on}: {len(habits)} habits.",
        "",
        "| listings | how many | exact | refused by name | lost in silence | doubled in silence |",
        "|---|---|---|---|---|---|",
    ]
    for what, counts in kinds.items():
        told = [counts.total(), *(counts[kind] for kind in KINDS)]
        lines.append(f"| {what} | {' | '.join(f'{count:,}' for count in told)} |")
    return lines


def main() -> None:
    """Print it."""
    kept = json.loads(LAST_RUN.read_text())
    print("\n".join(figures(kept["on"], kept["rows"])))


if __name__ == "__main__":
    main()
