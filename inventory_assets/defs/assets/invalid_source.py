"""The asset that stands for a source whose table in the configuration is invalid."""

import re

import dagster as dg

from inventory_assets.defs.source.expected_failure import ExpectedFailure
from inventory_assets.errors import printable


def build_invalid_source(name: str, mistakes: str) -> dg.AssetsDefinition:
    """The asset of a source that cannot be loaded; to materialize it fails with the mistakes.

    Args:
        name: The source's name in the file, which may be invalid, too.
        mistakes: The mistakes of its table, one a line.
    """
    safe_name = re.sub(r"[^A-Za-z0-9_]", "_", name)[:40] or "_"
    shown = "\n".join(map(printable, mistakes.split("\n")))

    @dg.asset(
        key=[safe_name, "invalid_configuration"],
        group_name=safe_name,
        description=(
            "The table of this source is invalid, so the source is not loaded. Correct the file, "
            f"then reload the code location.\n\n```\n{shown.replace('`', chr(39))}\n```"
        ),
    )
    def invalid_configuration() -> None:
        raise ExpectedFailure(f"{shown}\nCorrect the file, then reload the code location.")

    return invalid_configuration
