"""Start all of `deploy/celery` on this machine, to look at: `make -C deploy/celery up`."""

import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from inventory_assets_tests.databases import missing_programs
from inventory_assets_tests.distributed.machines import ProcessTrees
from inventory_assets_tests.distributed.servers import SOURCE, servers
from inventory_assets_tests.distributed.truth import names

SHARDS = 20


def main() -> None:
    """Start the servers and two workers, and end them with Ctrl-C."""
    if missing := missing_programs():
        sys.exit(f"not installed: {' '.join(missing)}; as root, `make test-distributed` does it")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory(prefix="distributed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            ProcessTrees(folder, ["a", "b"]) as network,
            servers(network, folder, names(0), SHARDS) as running,
        ):
            for machine in network.machines.values():
                running.cluster.start_worker(machine)
            print(
                f"{running.cluster.url}: materialize {SOURCE}/shards, then "
                f"{SOURCE}/object_listing; logs are in {folder}; ends with Ctrl-C",
                flush=True,
            )
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()
