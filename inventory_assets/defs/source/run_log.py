"""Copy this package's log messages to the log of a Dagster run while its step works."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def logged_to_run(run_log: logging.Logger) -> Iterator[None]:
    """Copy this package's log messages, of any thread, to the log of a run.

    The setting `python_logs` of `dagster.yaml` does the same, but for a whole instance, which this
    project may share with others. If both are used, each message is recorded once, and Dagster's
    own handlers stay.

    Args:
        run_log: The `log` of a step's context. Its level is used, or INFO if it has none.
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
