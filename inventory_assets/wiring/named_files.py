"""Read the files that the configuration of a source names: prices and lifecycle rules."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from inventory_assets.config import LIFECYCLE_OF_BUCKET, ConfigError, Source
from inventory_assets.wiring.prices import prices_of
from inventory_assets.wiring.source_access import SourceAccess, source_config

if TYPE_CHECKING:
    from inventory_assets.inventory.lifecycle.rules import LifecycleRules


def lifecycle_rules_of(
    source: SourceAccess, now: datetime, lifecycle: str | None = LIFECYCLE_OF_BUCKET
) -> "LifecycleRules":
    """The lifecycle rules of a file, or those of a source's bucket.

    Args:
        source: The source; the embedded demo shows its content at `now`.
        now: The time.
        lifecycle: The path of the file; `LIFECYCLE_OF_BUCKET` or None to ask the bucket.

    Raises:
        RulesInvalid: S3 would refuse the rules.
        S3Error: The bucket has no rules, or does not show them.
    """
    from inventory_assets.inventory.lifecycle.rules_document import parse_rules, read_rules
    from inventory_assets.s3.lifecycle_client import read_lifecycle

    if lifecycle not in {None, LIFECYCLE_OF_BUCKET}:
        return read_rules(Path(str(lifecycle)))
    config = source_config(source, now)
    return parse_rules(read_lifecycle(config), config.display_name)


def named_file_mistakes(source: Source) -> list[str]:
    """The mistakes in the files that the configuration of a source names, one a line."""
    mistakes: list[str] = []
    if source.prices:
        try:
            prices_of(source)
        except ConfigError as error:
            mistakes += str(error).splitlines()
    if source.lifecycle not in {None, LIFECYCLE_OF_BUCKET}:
        from inventory_assets.inventory.errors import RulesInvalid
        from inventory_assets.inventory.lifecycle.rules_document import read_rules

        try:
            read_rules(Path(str(source.lifecycle)))
        except RulesInvalid as error:
            mistakes += str(error).splitlines()
    return mistakes
