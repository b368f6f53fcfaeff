"""Translate pydantic's errors into messages about the file."""

import datetime as dt
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from inventory_assets.config.alerts import ALERT_FORMS, Alerts, Email
from inventory_assets.config.config_file import ConfigFile
from inventory_assets.config.field_forms import FORMS
from inventory_assets.config.gate import Gate
from inventory_assets.config.growth import Growth
from inventory_assets.config.iceberg import ICEBERG_FORMS, Iceberg
from inventory_assets.config.metadata import Metadata
from inventory_assets.config.schedule import Schedule, Shards
from inventory_assets.config.source import (
    Budget,
    Exports,
    Hygiene,
    Retention,
    SourceTable,
)
from inventory_assets.config.store import StoreAccess
from inventory_assets.config.wording import NO_SECRETS, describe_value, is_named_secret, suggestion

_TYPES = {
    "bool_type": "true or false",
    "tuple_type": "a list of texts",
    "float_type": "a number",
    "finite_number": "a number",
    "date_type": "a date without a time and without quotes",
    "string_type": "a text in quotes",
}

_FORMS = {**FORMS, **ICEBERG_FORMS, **ALERT_FORMS}


@dataclass(frozen=True, slots=True)
class Notation:
    """How a language writes what the messages quote.

    Attributes:
        field: A field with its value, as a format of both.
        table: The head of a table, as a format of its name.
        top: Where fields outside all tables belong.
    """

    field: str
    table: str
    top: str

    def translate(self, message: str) -> str:
        """A message that quotes TOML, in this notation."""
        message = re.sub(r"\b([a-z_]+) = (?=\S)", lambda m: self.field.format(m[1], ""), message)
        return re.sub(r"\[([a-z_.<>]+)\]", lambda m: self.table.format(m[1]), message)


TOML = Notation("{} = {}", "[{}]", "at the top of the file, above the first table")
YAML = Notation("{}: {}", "{}:", "directly below attributes")


def format_error(
    error: ErrorDetails, file: type[ConfigFile] = ConfigFile, notation: Notation = TOML
) -> str:
    """Format an error as one line: location, value found, what is expected, remedy.

    Args:
        error: An error of validating the file.
        file: The type of the file.
        notation: The language of the file.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    path = [str(part) for part in error["loc"] if not isinstance(part, int)]
    where = ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
        for part in path
        if part != "[key]"
    )
    table = _TABLES.get((len(path), *path[2:-1]), file)
    field, known = path[-1], (Iceberg if path[:-1] == ["iceberg"] else table).model_fields
    if is_named_secret(field) and (kind == "extra_forbidden" or not isinstance(value, dict)):
        return f"{where}: {NO_SECRETS}"
    if kind == "extra_forbidden":
        return f"{where}: found an unknown field; {_advice(field, known, file, notation)}"
    if kind == "value_error":
        return f"{where}: {notation.translate(str(context['error']))}"
    if kind in {"dict_type", "model_type"}:
        # The value may be a secret, so it is not shown.
        head = notation.table.format(where)
        return f"{where}: found no table, expected one; write {head} and its fields below it"
    if field == "[key]":
        return (
            f"{where}: found {describe_value(value)}, expected a name of 1 to 40 lower-case "
            "letters, digits and '_' that starts with a letter, as assets are named for it; "
            "rename the source"
        )
    if field == "sources":
        head = notation.table.format("sources.<name>")
        return f"{where}: found no source, expected one or more; add a table {head}"
    info = known[field]
    bounds = [
        str(getattr(item, end))
        for end in ("ge", "le")
        for item in info.metadata
        if hasattr(item, end)
    ]
    if kind in _TYPES:
        expected = _TYPES[kind]
    elif bounds:
        number = "a number" if info.annotation is float else "a whole number"
        expected = f"{number} from {' to '.join(bounds)}{' up' * (len(bounds) == 1)}"
    else:
        expected = context["expected"] if kind == "literal_error" else _FORMS[field][2]
    example = info.examples[0] if info.examples else info.default
    sample = str(example) if isinstance(example, dt.date) else json.dumps(example)
    what = "nothing" if kind == "missing" else describe_value(value)
    example = notation.field.format(field, sample)
    return f"{where}: found {what}, expected {expected}; write for example {example}"


# Length of a field's path, and the names in it between the source's name and the field, to table.
_TABLES: dict[tuple[int | str, ...], type[BaseModel]] = {
    (3,): SourceTable,
    (4, "shards"): Shards,
    (4, "schedule"): Schedule,
    (4, "exports"): Exports,
    (4, "hygiene"): Hygiene,
    (4, "growth"): Growth,
    (4, "metadata"): Metadata,
    (4, "gate"): Gate,
    (4, "alerts"): Alerts,
    (5, "alerts", "email"): Email,
    (4, "retention"): Retention,
    (4, "budget"): Budget,
    (2,): StoreAccess,
}


def _advice(field: str, known: Iterable[str], file: type[ConfigFile], notation: Notation) -> str:
    """The remedy for an unknown field."""
    if field in file.model_fields:
        return f"it belongs {notation.top}"
    for (_, *inner), table in _TABLES.items():
        if field in table.model_fields:
            head = ".".join(["sources.<name>", *map(str, inner)])
            return f"it belongs in {notation.table.format(head)}"
    if field in Iceberg.model_fields:
        return f"it belongs in {notation.table.format('iceberg')}"
    return suggestion(field, known) or f"remove it, or use one of {', '.join(known)}"
