"""The `inventory` command: one module for each of its commands, over the code the assets use.

Commands write what was asked for to standard output, and everything else to standard error.
"""

from inventory_assets.cli.command import INTERRUPTED, main

__all__ = ["INTERRUPTED", "main"]
