"""A collection that is killed, at any moment and as often as you like, is continued."""

import random
import subprocess
import sys
import time
from pathlib import Path

from inventory_assets.inventory.manifest.snapshot import SNAPSHOT
from inventory_assets.inventory.metadata.shard_metadata import read_metadata
from inventory_assets.inventory.storage.local_store import LocalStore
from inventory_assets_tests.fakes.scripted_server import Answer, Seen
from inventory_assets_tests.inventory.metadata import collecting_to_be_killed
from inventory_assets_tests.inventory.metadata.object_days import Bucket, user_metadata
from inventory_assets_tests.inventory.samples import LAYOUT

OBJECTS, KILLS, LATENCY = 600, 4, 0.01


def test_a_killed_collection_asks_only_for_what_was_not_written_yet(
    bucket: Bucket, store: LocalStore, tmp_path: Path
) -> None:
    for number in range(OBJECTS):
        bucket.put(f"{number % 3}/{number}", "x", headers={"x-amz-meta-n": str(number)})
    good = bucket.server.answer

    def reply(seen: Seen) -> Answer:
        time.sleep(LATENCY)
        return good(seen)

    bucket.server.answering = reply
    file = tmp_path / "snapshot.json"
    file.write_bytes(SNAPSHOT.encode(bucket.snapshot()))
    command = [sys.executable, "-m", collecting_to_be_killed.__name__]
    command += [bucket.server.url, str(store.root), str(file)]

    for seed in range(KILLS):
        before = bucket.server.heads.total()
        process = subprocess.Popen(command)
        # Some answers after it began; the process is not done by then.
        wanted = before + random.Random(seed).randint(1, OBJECTS // KILLS - 40)  # noqa: S311
        while bucket.server.heads.total() < wanted and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        assert read_metadata(bucket.store, LAYOUT, bucket.day, "") is None
    subprocess.run(command, check=True)

    record = read_metadata(bucket.store, LAYOUT, bucket.day, "")
    assert record is not None
    assert user_metadata(bucket.rows(record)) == bucket.told()
    assert record.unknown == 0
    # Each kill costs what was answered since the log was written, and what was in flight.
    assert bucket.server.heads.total() < OBJECTS + KILLS * 150
    assert bucket.server.heads.total() < 2 * OBJECTS
