"""Opening the bucket of a source."""

import sys
from pathlib import Path

import pytest

from inventory_assets.cli.demo import run_demo
from inventory_assets.config import Source
from inventory_assets.inventory.errors import PackageMissing
from inventory_assets.wiring.source_access import open_source_bucket
from inventory_assets_tests.inventory.samples import NOW


def test_without_moto_the_embedded_demo_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "moto", None)
    demo = Source(name="demo", demo=True, bucket="demo-bucket")
    with pytest.raises(PackageMissing, match=r"pip install 'inventory-assets\[demo\]'"):
        open_source_bucket(demo, NOW)
    with pytest.raises(PackageMissing, match="needs moto, which is not installed"):
        run_demo(tmp_path)
