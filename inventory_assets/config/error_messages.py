"""Translate pydantic's errors into messages about the file."""

import datetime as dt
import json
import re
from collections.abc import Iterable

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from inventory_assets.config.iceberg import ICEBERG_FORMS, Iceberg
from inventory_assets.config.tables import (
    FORMS,
    ConfigFile,
    Exports,
    Retention,
    Schedule,
    Shards,
    SourceTable,
    StoreAccess,
)
from inventory_assets.config.wording import NO_SECRETS, describe_value, is_named_secret, suggestion

_TYPES = {
    "bool_type": "true or false",
    "tuple_type": "a list of texts",
    "date_type": "a date without a time and without quotes",
    "string_type": "a text in quotes",
}


def format_error(error: ErrorDetails) -> str:
    """Format an error as one line: location, value found, what is expected, remedy."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    path = [str(part) for part in error["loc"] if not isinstance(part, int)]
    where = ".".join(
        part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else json.dumps(part)
        for part in path
        if part != "[key]"
    )
    table = _TABLES.get((len(path), *path[2:-1]), ConfigFile)
    field, known = path[-1], (Iceberg if path[:-1] == ["iceberg"] else table).model_fields
    if is_named_secret(field) and (kind == "extra_forbidden" or not isinstance(value, dict)):
        return f"{where}: {NO_SECRETS}"
    if kind == "extra_forbidden":
        return f"{where}: found an unknown field; {_advice(field, known)}"
    if kind == "value_error":
        return f"{where}: {context['error']}"
    if kind in {"dict_type", "model_type"}:
        # The value may be a secret, so it is not shown.
        return f"{where}: found no table, expected one; write [{where}] and its fields below it"
    if field == "[key]":
        return (
            f"{where}: found {describe_value(value)}, expected a name of 1 to 40 lower-case "
            "letters, digits and '_' that starts with a letter, as assets are named for it; "
            "rename the source"
        )
    if field == "sources":
        return f"{where}: found no source, expected one or more; add a table [sources.<name>]"
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
        expected = f"a whole number from {' to '.join(bounds)}{' up' * (len(bounds) == 1)}"
    else:
        expected = (
            context["expected"] if kind == "literal_error" else (FORMS | ICEBERG_FORMS)[field][2]
        )
    example = info.examples[0] if info.examples else info.default
    sample = str(example) if isinstance(example, dt.date) else json.dumps(example)
    what = "nothing" if kind == "missing" else describe_value(value)
    return f"{where}: found {what}, expected {expected}; write for example {field} = {sample}"


# Length of a field's path, and the names in it between the source's name and the field, to table.
_TABLES: dict[tuple[int | str, ...], type[BaseModel]] = {
    (3,): SourceTable,
    (4, "shards"): Shards,
    (4, "schedule"): Schedule,
    (4, "exports"): Exports,
    (4, "retention"): Retention,
    (2,): StoreAccess,
}


def _advice(field: str, known: Iterable[str]) -> str:
    """The remedy for an unknown field."""
    if field in ConfigFile.model_fields:
        return "it belongs at the top of the file, above the first table"
    for (_, *inner), table in _TABLES.items():
        if field in table.model_fields:
            return f"it belongs in [{'.'.join(['sources.<name>', *map(str, inner)])}]"
    if field in Iceberg.model_fields:
        return "it belongs in [iceberg]"
    return suggestion(field, known) or f"remove it, or use one of {', '.join(known)}"
