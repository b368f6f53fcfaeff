"""Models of a YAML file whose fields may be templates, from the tables of the configuration."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, WithJsonSchema, create_model
from pydantic.fields import FieldInfo

Template = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": r"\{[{%]", "title": "Template"})
]
"""A text with an expression, as in `{{ env.BUCKET }}`, in the place of a value."""


def template_tolerant(table: type[BaseModel], name: str | None = None) -> type[BaseModel]:
    """A model of `table` for YAML, in which each value may be a template.

    Its JSON Schema describes the fields of the table, without unknown fields. The model itself
    validates nothing: `table` does, when templates are rendered, and so reports all mistakes.

    Args:
        table: A table of the configuration.
        name: The name of the model; by default that of the table.
    """
    fields = {field: _field(info) for field, info in table.model_fields.items()}
    required = [field for field, info in table.model_fields.items() if info.is_required()]
    extra: dict[str, Any] = {"additionalProperties": False}
    if required:
        extra["required"] = required
    config = ConfigDict(
        extra="allow", title=table.model_config.get("title"), json_schema_extra=extra
    )
    model: type[BaseModel] = create_model(
        name or table.__name__,
        __doc__=table.__doc__,
        __config__=config,
        **fields,  # type: ignore[call-overload]
    )
    return model


def _field(info: FieldInfo) -> tuple[Any, FieldInfo]:
    """The type and the description of a field that may be a template."""
    kind = _tolerant(info.rebuild_annotation())
    if kind is None:
        kind = info.rebuild_annotation() | Template
    elif info.json_schema_extra:
        kind = Annotated[kind, Field(json_schema_extra=info.json_schema_extra)]
    # Required fields may be absent here: that is reported with the other mistakes.
    factory = (lambda: None) if info.is_required() else info.default_factory
    default = {"default_factory": factory} if factory else {"default": info.default}
    described: FieldInfo = Field(**default, description=info.description, examples=info.examples)
    return Annotated[kind, SkipValidation], described


def _tolerant(kind: Any) -> Any:
    """The model of a table, or of tables by name; None for other types.

    A table is no template itself: a validator that may choose between the two does not say which
    field of the table is wrong.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return template_tolerant(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _tolerant(inner[0])
    if origin in (Union, types.UnionType):
        return next(filter(None, map(_tolerant, inner)), None)
    if origin is dict and (table := _tolerant(inner[1])):
        return Annotated[types.GenericAlias(dict, (inner[0], table)), Field(min_length=1)]
    return None
