import shutil
from pathlib import Path

import pytest

from inventory_assets.cli import main
from inventory_assets.inventory.pricing.price_table import SHIPPED_TABLE


def test_the_sources_of_a_valid_file_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text('[sources.logs]\nbucket = "acme-logs"\nprefix = "app/"\n')
    assert main(["check-config", str(path)]) == 0
    assert capsys.readouterr().out == "logs: s3://acme-logs/app/\n"


def test_all_mistakes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text('[sources.a]\nbucket = "a b"\n[sources.b]\n[sources.c]\nbucket = "good"\n')
    assert main(["check-config", str(path)]) == 1
    output = capsys.readouterr()
    assert not output.out
    lines = output.err.splitlines()
    assert len(lines) == 2
    assert "sources.a.bucket" in lines[0]
    assert "sources.b.bucket" in lines[1]


def test_the_file_of_the_environment_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INVENTORY_CONFIG", str(tmp_path / "missing.toml"))
    assert main(["check-config"]) == 1
    assert "missing.toml" in capsys.readouterr().err


def test_a_price_table_that_the_file_names_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text('[sources.logs]\nbucket = "acme-logs"\nprices = "own.toml"\n')
    assert main(["check-config", str(path)]) == 1
    assert f"{tmp_path / 'own.toml'}: found no such file" in capsys.readouterr().err
    shutil.copy(SHIPPED_TABLE, tmp_path / "own.toml")
    assert main(["check-config", str(path)]) == 0


def test_rules_that_the_file_names_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text('[sources.logs]\nbucket = "acme-logs"\nlifecycle = "rules.json"\n')
    (tmp_path / "rules.json").write_text('{"Rules": []}')
    assert main(["check-config", str(path)]) == 1
    assert f"{tmp_path / 'rules.json'}: Rules: found []" in capsys.readouterr().err
