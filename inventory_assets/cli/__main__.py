"""`python -m inventory_assets.cli` is `inventory`."""

import sys

from inventory_assets.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
