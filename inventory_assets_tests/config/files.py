"""Configurations as text, loaded from a file, and the messages about their mistakes."""

from pathlib import Path

import pytest

from inventory_assets.config import Config, ConfigError, Source, load_config

DOCS = Path(__file__).parents[2] / "docs"
SECRET = "wJalrXUtnFEMI0K7MDENG0bPxRfiCYEXAMPLEKEY"


def load(text: str) -> Config:
    Path("inventory.toml").write_text(text, "utf-8")
    return load_config()


def source(text: str = "") -> Source:
    return load(f'[sources.logs]\nbucket = "acme-logs"\n{text}').sources["logs"]


def mistakes(text: str) -> list[str]:
    """Return the lines of the error, and hold what is true of every one of them."""
    with pytest.raises(ConfigError) as caught:
        load(text)
    lines = str(caught.value).splitlines()
    assert all(line.startswith("inventory.toml: ") for line in lines)
    return [line.removeprefix("inventory.toml: ") for line in lines]


def mistake(text: str) -> str:
    """Return the one mistake in a source called logs that is right but for this text."""
    (line,) = mistakes(f'[sources.logs]\nbucket = "acme-logs"\n{text}')
    return line


def bucket_mistake(bucket: str) -> str:
    (line,) = mistakes(f'[sources.logs]\nbucket = "{bucket}"')
    return line
