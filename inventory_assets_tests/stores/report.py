"""What `make test-stores` prints: how each odd store was listed, and the figures of all of them.

Run as a module it prints the figures of the last run as the table of docs/reliability.md.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inventory_assets_tests.stores.listing_runs import Outcome

PROPERTY = "odd store"
"""The name of the property of a test's report."""

LAST_RUN = Path("build") / "stores.json"


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
            (PROPERTY, ["case", says, outcome.strategy, outcome.requests, outcome.result])
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
            _, says, strategy, requests, result = row
            lines.append(f"{result!s:<38.60} {requests!s:>5} requests  {says}  [{strategy}]")
    for row in rows:
        if row[0] == "stories" and isinstance(row[2], dict):
            told = ", ".join(f"{count:,} {result}" for result, count in sorted(row[2].items()))
            lines.append(f"{row[1]}: {told}")
    return lines


def keep(rows: list[list[object]], passed: int, failed: int) -> None:
    """Keep the rows of a run for `main`."""
    LAST_RUN.parent.mkdir(exist_ok=True)
    LAST_RUN.write_text(json.dumps({"rows": rows, "passed": passed, "failed": failed}))


def figures(rows: list[list[object]]) -> list[str]:
    """The table of docs/reliability.md."""
    kinds: dict[str, Counter[str]] = {}
    for row in rows:
        if row[0] == "case":
            kinds.setdefault("Cases, a store each", Counter())[_kind(str(row[4]))] += 1
        elif isinstance(row[2], dict):
            for result, count in row[2].items():
                kinds.setdefault(str(row[1]), Counter())[_kind(result)] += count
    lines = [
        "| what | listings | exact | refused by name | lost or doubled in silence |",
        "|---|---|---|---|---|",
    ]
    for what, counts in kinds.items():
        lines.append(
            f"| {what} | {counts.total():,} | {counts['exact']:,} | {counts['refused']:,} "
            f"| {counts['wrong']:,} |"
        )
    return lines


def _kind(result: str) -> str:
    if result.startswith("WRONG"):
        return "wrong"
    return "refused" if result.startswith("refused") else "exact"


def main() -> None:
    """Print the table."""
    kept = json.loads(LAST_RUN.read_text())
    print("\n".join(figures(kept["rows"])))


if __name__ == "__main__":
    main()
