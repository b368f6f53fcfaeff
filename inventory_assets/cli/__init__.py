"""The `inventory` command, with a module for each of its commands.

Commands write their results to standard output, and progress, notes and errors to standard error.
They use the same code as the assets, and know no Dagster except in `demo`.
"""

from inventory_assets.cli.command import INTERRUPTED, main

__all__ = ["INTERRUPTED", "main"]
