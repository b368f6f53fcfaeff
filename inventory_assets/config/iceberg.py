"""The table `[iceberg]`: where the sources' Iceberg tables are registered."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from inventory_assets.config.strict import StrictTable
from inventory_assets.config.wording import NO_CATALOG_SECRETS, describe_value, may_be_secret

ICEBERG_FORMS = {
    "catalog": (
        r"^[A-Za-z][A-Za-z0-9_-]{0,39}$",
        "production",
        "1 to 40 letters, digits, '_' and '-', with a letter first",
    ),
    "namespace": (
        r"^[a-z][a-z0-9_]{0,39}$",
        "inventory",
        "1 to 40 lower-case letters, digits and '_', with a letter first",
    ),
}
"""For each field: the pattern of its text, an example, and a description of the pattern."""


def _form(field: str) -> Any:
    pattern, example, _ = ICEBERG_FORMS[field]
    return Field(pattern=pattern, examples=[example])


def _are_texts_without_secrets(properties: object) -> object:
    if not isinstance(properties, dict):
        return properties
    for name, value in properties.items():
        if may_be_secret(name, value):
            raise ValueError(f"found a secret in one of them, {name!r}; {NO_CATALOG_SECRETS}")
        if not isinstance(value, str):
            raise ValueError(  # noqa: TRY004 - pydantic does not collect TypeErrors
                f"found {describe_value(value)} as {name!r}, expected a text; write it in quotes"
            )
    return properties


class Iceberg(StrictTable):
    """Where the Iceberg tables of sources with `iceberg = true` are registered."""

    catalog: Annotated[str | None, _form("catalog")] = None
    """The catalogue's name in pyiceberg's configuration; without it, SQLite in the store."""
    namespace: Annotated[str, _form("namespace")] = "inventory"
    """The namespace of the inventories; `_changes` is appended for the change logs."""
    properties: Annotated[dict[str, str], BeforeValidator(_are_texts_without_secrets)] = Field(
        default_factory=dict
    )
    """Further properties of the catalogue for pyiceberg; only with `catalog`, and no secrets."""

    @field_validator("properties")
    @classmethod
    def _properties_have_a_catalog(
        cls, properties: dict[str, str], info: ValidationInfo
    ) -> dict[str, str]:
        if properties and info.data.get("catalog", "mistaken") is None:
            raise ValueError("found without catalog, expected with it; add catalog or remove them")
        return properties
