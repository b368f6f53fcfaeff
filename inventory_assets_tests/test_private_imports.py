"""The modules that import private modules of Dagster, which may change with any version."""

import ast
from collections.abc import Iterator
from pathlib import Path

import inventory_assets

PACKAGE = Path(inventory_assets.__file__).parent

WITHOUT_PUBLIC_COUNTERPART = {
    "defs/celery_run_launcher.py",
    "defs/check_results.py",
    "defs/expired_runs.py",
    "defs/run_launcher.py",
    "defs/source/checks.py",
    "defs/source/expected_failure.py",
}
"""Modules that need what Dagster does not export; their docstrings say what."""


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)


def is_private(module: str) -> bool:
    package, *names = module.split(".")
    return package.startswith("dagster") and any(name.startswith("_") for name in names)


def test_private_modules_of_dagster_are_imported_only_where_nothing_public_does_the_same() -> None:
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if any(map(is_private, imported_modules(path)))
    }
    assert importers == WITHOUT_PUBLIC_COUNTERPART
