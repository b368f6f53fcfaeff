"""`inventory list` with small files and frequent checkpoints, for tests that kill its process.

Files end early, so a kill loses little work.
"""

import sys
from datetime import timedelta

from inventory_assets import cli
from inventory_assets.inventory.listing import checkpoints, part_stream
from inventory_assets.inventory.parts import part_writer

# Here, as the processes that it starts import this module too, but do not run it.
vars(part_stream)["ROW_GROUP_ROWS"] = vars(part_writer)["ROW_GROUP_ROWS"] = 1000
part_writer.PART_ROWS = 1000
checkpoints.RECORD_INTERVAL = timedelta(seconds=0.1)

if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
