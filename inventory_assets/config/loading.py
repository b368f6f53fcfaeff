"""Find the file, read it, and report every mistake in it at once."""

import datetime as dt
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from inventory_assets.config.error_messages import format_error
from inventory_assets.config.iceberg import Iceberg
from inventory_assets.config.tables import (
    CONFIG_FILE,
    CONFIG_VARIABLE,
    DEFAULT_STORE,
    Config,
    ConfigFile,
    Schedule,
    Shards,
    Source,
)
from inventory_assets.errors import InventoryError


class ConfigError(InventoryError):
    """The configuration cannot be used; the message lists each mistake on a line of its own."""


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration file; raise ConfigError with all its mistakes.

    The file is `path`; without it, the one that INVENTORY_CONFIG names in `environ`; without that,
    `inventory.toml` in the working directory. Where that does not exist, the embedded demo is
    returned.
    """
    if path is None and (named := environ.get(CONFIG_VARIABLE)):
        path = Path(named)
    if path is None:
        path = Path(CONFIG_FILE)
        if not (path.exists() or path.is_symlink()):
            demo = Source(
                name="demo",
                demo=True,
                bucket="demo-bucket",
                shards=Shards(depth=2),
                schedule=Schedule(start_date=dt.date(2026, 11, 1)),
            )
            return Config(store=Path(DEFAULT_STORE).absolute(), sources={"demo": demo})
    document = _parse(path)
    mistakes = []
    try:
        file = ConfigFile.model_validate(document)
    except ValidationError as error:
        mistakes = [f"{path}: {format_error(detail)}" for detail in error.errors(include_url=False)]
    if mistakes:  # raised out here, where no cause is attached that holds the file's values
        raise ConfigError("\n".join(mistakes))
    sources = {name: Source(name=name, **dict(table)) for name, table in file.sources.items()}
    store = file.resolved_store(path.absolute().parent)
    return Config(store=store, sources=sources, iceberg=file.iceberg or Iceberg())


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    schema = ConfigFile.model_json_schema(schema_generator=_EditorSchema)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


class _EditorSchema(GenerateJsonSchema):
    """JSON Schema without null, which TOML does not have: an absent field is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _parse(path: Path) -> dict[str, Any]:
    text = ""
    try:
        text = path.read_text("utf-8-sig")  # some editors put a byte order mark first
        return tomllib.loads(text)
    except FileNotFoundError:
        problem = f"found no such file, expected one; create it, or correct {CONFIG_VARIABLE}"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}), expected a file that this user may read"
    except UnicodeDecodeError as error:
        problem = f"found byte {error.start} not to be UTF-8, expected UTF-8 text; save it as UTF-8"
    except ValueError as error:  # TOMLDecodeError, or what int() says of an endless number
        last_line, last_column = text.count("\n") + 1, len(text) - text.rfind("\n")
        end = f"line {last_line}, column {last_column}, the end)"
        place = str(error).replace("end of document)", end)
        problem = f"found a mistake in the TOML: {place}; correct the file there"
    raise ConfigError(f"{path}: {problem}")
