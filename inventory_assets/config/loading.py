"""Find and read the configuration file, and report all its mistakes at once."""

import datetime as dt
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import ErrorDetails, core_schema

from inventory_assets.config.config_file import CONFIG_FILE, CONFIG_VARIABLE, Config, ConfigFile
from inventory_assets.config.error_messages import format_error
from inventory_assets.config.schedule import Schedule, Shards
from inventory_assets.config.source import Hygiene, Source
from inventory_assets.config.store import DEFAULT_STORE
from inventory_assets.errors import InventoryError

DEMO_DATES = 10
"""The dates, up to today, with which the embedded demo begins."""

_DEMO_RULES = Path(__file__).parents[1] / "demo/lifecycle.json"
"""Lifecycle rules that the demo simulates; its bucket does not have them."""


class ConfigError(InventoryError):
    """The configuration is invalid; the message has one line for each mistake."""


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration file.

    The file is `path`, else that of INVENTORY_CONFIG in `environ`, else `inventory.toml` in the
    working directory. If the latter does not exist, returns the configuration of the embedded demo.

    Raises:
        ConfigError: The file is invalid; the message lists all mistakes.
    """
    config, invalid = load_valid_sources(path, environ)
    if invalid:
        raise ConfigError("\n".join(invalid.values()))
    return config


def load_valid_sources(
    path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Config, Mapping[str, str]]:
    """Read the configuration file, without the sources whose tables are invalid.

    Returns:
        The configuration, and the mistakes of each invalid source, one a line, by its name.

    Raises:
        ConfigError: The file is invalid outside these tables, or has no valid source.
    """
    path = _config_file(path, environ)
    if path is None:
        return _demo_config(), {}
    document = read_toml(path, f"create it, or correct {CONFIG_VARIABLE}")
    file, errors = _validated(document)
    mistakes = [(error["loc"], f"{path}: {format_error(error)}") for error in errors]
    invalid: dict[str, list[str]] = {}
    for (table, *names), mistake in mistakes:
        if table == "sources" and names:
            invalid.setdefault(str(names[0]), []).append(mistake)
    if sum(map(len, invalid.values())) == len(mistakes) > 0:
        valid = {name: table for name, table in document["sources"].items() if name not in invalid}
        file, _ = _validated({**document, "sources": valid})
    if file is None:
        raise ConfigError("\n".join(mistake for _, mistake in mistakes))
    config = file.resolved(path.absolute().parent)
    return config, {name: "\n".join(found) for name, found in invalid.items()}


def _validated(document: dict[str, Any]) -> tuple[ConfigFile | None, list[ErrorDetails]]:
    """The valid file, or its errors."""
    # Nothing is raised within `except`: the cause would hold the values of the file.
    try:
        return ConfigFile.model_validate(document), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _config_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read; None for the embedded demo."""
    if path is None and (named := environ.get(CONFIG_VARIABLE)):
        path = Path(named)
    if path is not None:
        return path
    default = Path(CONFIG_FILE)
    return default if default.exists() or default.is_symlink() else None


def _demo_config() -> Config:
    store = Path(DEFAULT_STORE).absolute()
    demo = Source(
        name="demo",
        demo=True,
        bucket="demo-bucket",
        versions=True,
        shards=Shards(depth=2, retire_after_days=2),
        schedule=Schedule(start_date=_first_demo_date(store / "demo-bucket/demo")),
        hygiene=Hygiene(multipart_uploads=True),
        lifecycle=str(_DEMO_RULES),
    )
    return Config(store=store, sources={"demo": demo})


def _first_demo_date(results: Path) -> dt.date:
    """The first date of the demo in its results; at first the one with which it begins."""
    begins = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=DEMO_DATES - 1)
    listed = (dt.date.fromisoformat(path.name[:10]) for path in results.glob("????-??-??T00-00Z"))
    return min([*listed, begins])


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file, for editors."""
    schema = ConfigFile.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _EditorSchema(GenerateJsonSchema):
    """JSON Schema without null, which TOML does not have."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def read_toml(path: Path, if_missing: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: The file.
        if_missing: The remedy if there is no such file.

    Raises:
        ConfigError: The file cannot be read, or is not TOML.
    """
    text = ""
    try:
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark first
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = f"found no such file, expected one; {if_missing}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}), expected a file that this user may read"
    except UnicodeDecodeError as error:
        problem = f"found byte {error.start} not to be UTF-8, expected UTF-8 text; save it as UTF-8"
    except ValueError as error:  # TOMLDecodeError, or int() on too many digits
        last_line, last_column = text.count("\n") + 1, len(text) - text.rfind("\n")
        end = f"line {last_line}, column {last_column}, the end)"
        place = str(error).replace("end of document)", end)
        problem = f"found a mistake in the TOML: {place}; correct the file there"
    raise ConfigError(f"{path}: {problem}")
