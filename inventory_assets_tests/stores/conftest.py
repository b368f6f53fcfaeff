"""The report of the odd stores."""

import pytest

from inventory_assets_tests.stores.report import Noted, keep, rows_of, table


@pytest.fixture
def noted(request: pytest.FixtureRequest) -> Noted:
    """Notes rows of the report."""
    return Noted(request.node.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for kind in ("passed", "failed")
        for report in terminalreporter.stats.get(kind, [])
        if report.when == "call"
    ]
    rows = [row for report in reports for row in rows_of(report.user_properties)]
    if rows:
        terminalreporter.section("odd stores")
        for line in table(rows):
            terminalreporter.line(line)
        keep(rows)
