"""The attributes of the component: the tables of the configuration, and how assets appear."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from inventory_assets.config import DEFAULT_STORE, ConfigFile
from inventory_assets.config.wording import describe_value
from inventory_assets.defs.source.context import AssetOptions

_NAME = re.compile(r"[A-Za-z0-9_]+")
_OWNER = re.compile(r"team:\S+|[^\s@:]+@[^\s@:]+")
_MAX_FURTHER_KINDS = 1
"""Dagster allows three kinds for an asset, and an asset of a source has up to two."""
_TEXTS = str | tuple[str, ...]
"""What a field for several texts accepts."""


def _as_texts(value: object) -> tuple[str, ...]:
    """The texts of a list, or of a single text.

    Raises:
        ValueError: The value is neither.
    """
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple | set | frozenset):
        raise ValueError(  # noqa: TRY004 - pydantic does not collect TypeErrors
            f"found {describe_value(value)}, expected a text or a list of texts"
        )
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004 - pydantic does not collect TypeErrors
                f"found {describe_value(text)} in the list, expected texts; write it in quotes"
            )
    return tuple(texts)


def _are_names(value: object) -> tuple[str, ...]:
    names = _as_texts(value)
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"found {describe_value(name)}, expected names of letters, digits and '_'; write a "
                "list of the names, one for each level"
            )
    return names


def _is_a_name(value: object) -> object:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError(
            f"found {describe_value(value)}, expected a name of letters, digits and '_'"
        )
    return value


def _are_owners(value: object) -> tuple[str, ...]:
    owners = _as_texts(value)
    for owner in owners:
        if not _OWNER.fullmatch(owner):
            raise ValueError(
                f"found {describe_value(owner)}, expected e-mail addresses, or names of teams such "
                "as 'team:storage'"
            )
    return owners


def _are_further_kinds(value: object) -> tuple[str, ...]:
    kinds = _as_texts(value)
    if len(kinds) > _MAX_FURTHER_KINDS:
        raise ValueError(
            f"found {len(kinds)} kinds, expected at most {_MAX_FURTHER_KINDS}, as Dagster allows "
            "three for an asset and the assets have up to two; remove the others"
        )
    return kinds


def _are_tags(value: object) -> object:
    if not isinstance(value, Mapping):
        raise ValueError(  # noqa: TRY004 - pydantic does not collect TypeErrors
            f"found {describe_value(value)}, expected tags with their values"
        )
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError(  # noqa: TRY004 - pydantic does not collect TypeErrors
                f"found {describe_value(text)} as {name!r}, expected a text; write it in quotes"
            )
    return dict(value)


class InventoryAttributes(ConfigFile):
    """What to inventory, where the results go, and how the assets appear in Dagster."""

    model_config = ConfigDict(title="S3InventoryComponent")

    store: str = DEFAULT_STORE
    """The folder for results, relative to the root of the Dagster project; or s3://bucket/prefix."""
    key_prefix: Annotated[
        tuple[str, ...], BeforeValidator(_are_names, _TEXTS), Field(examples=[["storage"]])
    ] = ()
    """The names that precede the source's name in the keys of its assets."""
    group_name: Annotated[str | None, BeforeValidator(_is_a_name), Field(examples=["storage"])] = (
        None
    )
    """The group of the assets; without it, each source has a group with its name."""
    owners: Annotated[
        tuple[str, ...], BeforeValidator(_are_owners, _TEXTS), Field(examples=[["team:storage"]])
    ] = ()
    """The owners of the assets: e-mail addresses, or names of teams after 'team:'."""
    tags: Annotated[
        dict[str, str], BeforeValidator(_are_tags), Field(examples=[{"domain": "storage"}])
    ] = Field(default_factory=dict)
    """Further tags of the assets."""
    kinds: Annotated[
        tuple[str, ...], BeforeValidator(_are_further_kinds, _TEXTS), Field(examples=[["minio"]])
    ] = ()
    """A further kind of the assets, which the UI shows as an icon."""
    automation: bool = True
    """Whether the assets downstream of listings are materialized by themselves."""

    @property
    def options(self) -> AssetOptions:
        """How the assets appear in Dagster."""
        return AssetOptions(
            key_prefix=self.key_prefix,
            group_name=self.group_name,
            owners=self.owners,
            tags=self.tags,
            kinds=frozenset(self.kinds),
            automation=self.automation,
        )
