"""`inventory --version`, and the import time of the other commands."""

import subprocess
import sys
from importlib.metadata import version

import pytest

from inventory_assets.cli import main

HELP_AND_MODULES = """
import sys
from inventory_assets.cli import main

try:
    main(["--help"])
finally:
    print("importlib.metadata" in sys.modules)
"""


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"inventory {version('inventory-assets')}\n"


def test_the_help_does_not_look_the_version_up() -> None:
    command = [sys.executable, "-c", HELP_AND_MODULES]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--version" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "False"
