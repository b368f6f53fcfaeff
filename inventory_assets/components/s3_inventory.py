"""`S3InventoryComponent`: inventories of S3 buckets in a Dagster project, from a `defs.yaml`."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

import dagster as dg
from pydantic import BaseModel, PrivateAttr, ValidationError

from inventory_assets.components.attributes import InventoryAttributes
from inventory_assets.components.scaffolder import S3InventoryScaffolder
from inventory_assets.components.templates import render
from inventory_assets.components.yaml_model import template_tolerant
from inventory_assets.config import ConfigError
from inventory_assets.config.error_messages import YAML, format_error
from inventory_assets.definitions import build_definitions


@dg.scaffold_with(S3InventoryScaffolder)
class S3InventoryComponent(InventoryAttributes, dg.Component, dg.Resolvable):
    """Daily, complete, sorted inventories of S3 buckets.

    For each source: its shards, their listings and changes, and the manifest and change log of each
    date, with a schedule, sensors, and a job that removes old dates. Every name carries that of the
    source. To begin, run:

    `dg scaffold defs inventory_assets.S3InventoryComponent logs`

    The attributes are the tables of `inventory.toml`, and how the assets appear in Dagster. Every
    value may be a template.
    """

    _location: str = PrivateAttr(default="")

    @classmethod
    def model(cls) -> type[BaseModel]:
        """The model of the attributes in YAML, whose JSON Schema editors use."""
        return _yaml_model(cls)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """The description, owners and tags of the component in the UI and in `dg`."""
        return dg.ComponentTypeSpec(tags=["s3", "inventory"])

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Load the component; a file without attributes is a mistake like any other."""
        return super().load(attributes or cls.model()(), context)

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        """The component of a YAML file.

        Args:
            context: What templates can refer to, and the place of the attributes.
            model: The attributes as written.

        Raises:
            ConfigError: Attributes are invalid; the message has a line for each mistake.
        """
        given = {name: getattr(model, name) for name in model.model_fields_set}
        mistakes = []
        try:
            component = cls.model_validate(render(context, given, cls))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                line = format_error(detail, cls, YAML) + _template_of(given, detail["loc"])
                mistakes.append(f"{_location(context, detail['loc'])}: {line}")
        if mistakes:  # raised here, so that it has no cause with the file's values
            raise ConfigError("\n".join(mistakes))
        component._location = _location(context, ("sources",))  # noqa: SLF001 - of this class
        return component

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of all sources.

        Args:
            context: The project; a relative path of the store begins at its root.

        Raises:
            ConfigError: Another component of the project has a source of the same name.
        """
        self._check_names(context)
        config = self.resolved(context.project_root)
        return build_definitions(config, options=self.options)

    def _check_names(self, context: dg.ComponentLoadContext) -> None:
        if context.path == context.defs_module_path:
            return  # it is the only component, or there is no project, as in tests
        for other in context.component_tree.get_all_components(S3InventoryComponent):
            if other is self:
                continue
            for name in self.sources.keys() & other.sources.keys():
                locations = " and ".join(sorted([self._location, other._location]))  # noqa: SLF001
                raise ConfigError(
                    f"sources.{name}: found in two components, {locations}, expected one, as "
                    "assets are named for the source; rename one of them"
                )


@cache
def _yaml_model(component: type[InventoryAttributes]) -> type[BaseModel]:
    return template_tolerant(component, f"{component.__name__}Attributes")


def _location(context: dg.ResolutionContext, location: Sequence[str | int]) -> str:
    """The file and line of an attribute."""
    tree = context.source_position_tree
    if tree is None:
        return S3InventoryComponent.__name__
    return str(tree.lookup_closest_and_path([*context.path, *location], trace=None)[0])


def _template_of(given: Mapping[str, Any], location: Sequence[str | int]) -> str:
    """The template that a value was rendered from, for the end of a message."""
    value: Any = given
    for part in location:
        value = value.get(part) if isinstance(value, Mapping) else None
    is_template = isinstance(value, str) and "{{" in value
    return f"; its template is {value}" if is_template else ""
