"""The whole file: where results go, and what to inventory; and what it is resolved to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from inventory_assets.config.iceberg import Iceberg
from inventory_assets.config.source import Source, SourceName, SourceTable
from inventory_assets.config.store import (
    DEFAULT_STORE,
    EXAMPLE_STORE,
    StoreAccess,
    StoreBucket,
    check_store,
    is_bucket,
    resolved_store,
)
from inventory_assets.config.strict import StrictTable as _Table

CONFIG_FILE = "inventory.toml"
CONFIG_VARIABLE = "INVENTORY_CONFIG"


class ConfigFile(_Table):
    """What to inventory, how and when, and where the results go."""

    model_config = ConfigDict(title=CONFIG_FILE)

    store: str = DEFAULT_STORE
    """The folder for results, relative to the folder of this file; or s3://bucket/prefix."""
    store_bucket: StoreAccess | None = None
    """How to access the bucket of the store; only with store = "s3://..."."""
    store_is_shared: bool = False
    """Whether the folder of the store is on a file system that all machines with runs share."""
    iceberg: Iceberg | None = None
    """Where Iceberg tables are registered."""
    sources: Annotated[
        dict[SourceName, SourceTable],
        Field(min_length=1, json_schema_extra={"additionalProperties": False}),
    ]
    """The buckets to inventory, by source name."""

    @field_validator("store")
    @classmethod
    def _store_is_a_folder_or_a_bucket(cls, store: str) -> str:
        check_store(store)
        return store

    @field_validator("store_bucket")
    @classmethod
    def _store_bucket_has_a_bucket(
        cls, access: StoreAccess | None, info: ValidationInfo
    ) -> StoreAccess | None:
        store = info.data.get("store", EXAMPLE_STORE)  # invalid: reported already
        if access is not None and not is_bucket(store):
            raise ValueError(
                "found although the store is a folder, expected only for a bucket; remove it, or "
                f'write for example store = "{EXAMPLE_STORE}"'
            )
        return access

    @field_validator("sources")
    @classmethod
    def _tables_on_a_bucket_have_a_catalog(
        cls, sources: dict[str, SourceTable], info: ValidationInfo
    ) -> dict[str, SourceTable]:
        asking = [name for name, source in sources.items() if source.iceberg]
        is_on_bucket = is_bucket(info.data.get("store", ""))
        is_named = "iceberg" not in info.data or (info.data["iceberg"] or Iceberg()).catalog
        if asking and is_on_bucket and not is_named:
            raise ValueError(
                f"found iceberg = true in {asking[0]}, expected a catalogue for it, because a"
                " bucket cannot hold the SQLite catalogue; add [iceberg] with a catalog"
            )
        return sources

    @field_validator("sources")
    @classmethod
    def _shared_shards_are_on_a_bucket(
        cls, sources: dict[str, SourceTable], info: ValidationInfo
    ) -> dict[str, SourceTable]:
        sharing = [name for name, source in sources.items() if source.shards.shared]
        if sharing and not is_bucket(info.data.get("store", EXAMPLE_STORE)):
            raise ValueError(
                f"found shards.shared = true in {sharing[0]}, and a folder as the store, expected "
                "a bucket, because runs share a listing by conditional writes, which folders of "
                f'several machines do not have; write for example store = "{EXAMPLE_STORE}", or '
                "remove shards.shared"
            )
        return sources

    @field_validator("sources")
    @classmethod
    def _folders_differ(cls, sources: dict[str, SourceTable]) -> dict[str, SourceTable]:
        names: dict[tuple[str, str], str] = {}
        for name, source in sources.items():
            folder = source.folder or name
            other = names.setdefault((source.bucket, folder), name)
            if other != name:
                raise ValueError(
                    f"found the folder {folder!r} of the bucket {source.bucket!r} for {other} and"
                    f" for {name}, expected one for each source; remove the field 'folder' of one"
                )
        return sources

    def resolved(self, folder: Path) -> "Config":
        """The configuration; relative paths are resolved against `folder`."""
        return Config(
            store=resolved_store(self.store, self.store_bucket, folder),
            sources={
                name: Source(name=name, **table.resolved(folder))
                for name, table in self.sources.items()
            },
            iceberg=self.iceberg or Iceberg(),
            store_is_shared=self.store_is_shared,
        )


class Config(_Table):
    """The configuration: where results go, and what to inventory."""

    store: Path | StoreBucket
    """The absolute path of the folder for results, or their bucket."""
    sources: Mapping[str, Source]
    """The sources by name, in the order of the file."""
    iceberg: Iceberg = Iceberg()
    """Where Iceberg tables are registered."""
    store_is_shared: bool = False
    """Whether all machines with runs see the folder for results."""
