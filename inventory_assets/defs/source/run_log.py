"""Show in the log of a Dagster run what the package logs while a step of the run works."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged_to_run(run_log: logging.Logger) -> Iterator[None]:
    """Add what this package logs, on any thread, to the log of a run.

    The setting `python_logs` of `dagster.yaml` does the same, but for a whole instance, which may
    belong to somebody else. Where it is set as well, each message is recorded once, and Dagster's
    own handlers stay.

    Args:
        run_log: The `log` of a step's context; its level is used, or INFO where it has none.
    """
    logger = logging.getLogger("inventory_assets")
    level = logger.level
    added = [handler for handler in run_log.handlers if handler not in logger.handlers]
    for handler in added:
        logger.addHandler(handler)
    logger.setLevel(run_log.level or logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in added:
            logger.removeHandler(handler)
