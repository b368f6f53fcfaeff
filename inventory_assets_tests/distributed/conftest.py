"""The story is played once for all tests of this folder."""

import os
import random
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.load_source import NoCompiler, program
from inventory_assets_tests.databases import missing_programs
from inventory_assets_tests.distributed.machines import Namespaces, ProcessTrees
from inventory_assets_tests.distributed.story import Story, played
from inventory_assets_tests.distributed.truth import names

SEED_VARIABLE = "DISTRIBUTED_SEED"
INSTALL = "make test-distributed"


@pytest.fixture(scope="session")
def story(capfd_disabled: None) -> Iterator[Story]:  # noqa: ARG001
    require_programs()
    seed = int(os.environ.get(SEED_VARIABLE) or random.randrange(10**6))  # noqa: S311
    why_not = Namespaces.why_not()
    kind = ProcessTrees if why_not else Namespaces
    print(f"\n{SEED_VARIABLE}={seed}; machines are {kind.kind}", f"({why_not})" if why_not else "")
    # Users other than root read there, too: PostgreSQL does not run as root.
    with tempfile.TemporaryDirectory(prefix="distributed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            kind(folder, ["a", "b"]) as network,
            played(network, folder, names(seed), seed) as story,
        ):
            yield story


@pytest.fixture(scope="session")
def capfd_disabled(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the story prints is seen while it is played."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    with manager.global_and_fixture_disabled():
        yield


def require_programs() -> None:
    """Fail with what is not installed, and what installs it."""
    if find_spec("dagster_celery") is None:
        pytest.fail(f"dagster-celery is not installed; `{INSTALL}` installs it")
    if missing := missing_programs():
        pytest.fail(f"not installed: {' '.join(missing)}; as root, `{INSTALL}` installs them")
    try:
        program()
    except NoCompiler as error:
        pytest.fail(str(error))
