"""Render the templates of a YAML file to the types of the configuration's fields.

Dagster renders a template to a Python value, and reads texts as Python literals: the prefix "2026"
would become a number. Here, a text is rendered as a text where the field is one, and read as YAML
elsewhere. What is not a template is not changed.
"""

import datetime as dt
import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import dagster as dg
import yaml
from pydantic import BaseModel

_MARK = re.compile(r"\{[{%#]")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_NO_LITERAL = "?"
"""No Python literal begins with it, so Dagster leaves a text that does as it is."""


def render(context: dg.ResolutionContext, value: Any, kind: Any) -> Any:
    """Render the templates in a value.

    Args:
        context: What templates can refer to, and the place of the value in the file.
        value: A value of a YAML file.
        kind: The type of the field that holds it.

    Raises:
        dagster.components.resolved.errors.ResolutionException: A template cannot be rendered.
    """
    if isinstance(value, str):
        value = _render_text(context, value, set(_members(kind)))
    if isinstance(value, Mapping):
        return {
            name: render(context.at_path(name), each, _kind_within(kind, name))
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        within = _kind_within(kind, 0)
        return [render(context.at_path(at), each, within) for at, each in enumerate(value)]
    return value


def _render_text(context: dg.ResolutionContext, text: str, kinds: set[Any]) -> Any:
    value: Any = text
    if _MARK.search(text):
        value = context.resolve_value(text)
        if value is None:
            return None
        if str in kinds:
            rendered = context.resolve_value(_NO_LITERAL + text, as_type=str)
            return rendered.removeprefix(_NO_LITERAL)
        if isinstance(value, str):
            value = _read_scalar(value)
    if dt.date in kinds and isinstance(value, str) and _DATE.fullmatch(value):
        # Dagster reads dates in YAML as texts.
        return _read_scalar(value)
    return value


def _read_scalar(text: str) -> Any:
    """What a text is in YAML; the text itself if it is not valid."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def _members(kind: Any) -> Iterator[Any]:
    """The types that a union or an annotated type consists of; `str` for literals of texts."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _members(get_args(kind)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _members(member)
    elif origin is Literal:
        yield from map(type, get_args(kind))
    else:
        yield kind


def _kind_within(kind: Any, name: str | int) -> Any:
    """The type of a field of a table, of a value of a mapping, or of an item of a list."""
    for member in _members(kind):
        arguments = get_args(member)
        if isinstance(member, type) and issubclass(member, BaseModel):
            field = member.model_fields.get(str(name))
            return field.annotation if field else Any
        if arguments:
            return arguments[isinstance(name, str)]
    return Any
