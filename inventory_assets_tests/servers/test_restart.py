"""The objects of a server survive its restart, and so does the inventory's fingerprint."""

from pathlib import Path

import pytest

from inventory_assets_tests.external_servers import Ministack, SeaweedFS, ServerProcess
from inventory_assets_tests.servers.inventories import (
    body_of,
    expected_fields,
    list_inventory,
    real_names,
)


@pytest.mark.parametrize(
    "make",
    [
        SeaweedFS,
        pytest.param(
            lambda folder: Ministack(folder, keeps_data=True),
            id="Ministack",
        ),
    ],
)
def test_a_restarted_server_gives_the_same_fingerprints(
    make: "type[ServerProcess]", tmp_path: Path
) -> None:
    objects = {key: body_of(key) for key in [*real_names()[::300], "a-b", "a/1", "e\u0301 +%2B"]}
    with make(tmp_path / "server") as server:
        server.endpoint.make_bucket("lasting", objects)
        before = list_inventory(server.endpoint, "lasting", tmp_path / "before")
        server.restart()
        after = list_inventory(server.endpoint, "lasting", tmp_path / "after")

    assert after.fields == expected_fields(objects)
    fingerprints = {prefix: each.fingerprint for prefix, each in before.snapshots.items()}
    assert {prefix: each.fingerprint for prefix, each in after.snapshots.items()} == fingerprints
    assert after.manifest.identity == before.manifest.identity
