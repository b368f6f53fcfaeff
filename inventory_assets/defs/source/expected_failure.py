"""The failure of a run for a reason that its message explains.

This module imports a private module of Dagster: below the description of a `dg.Failure`, the UI
shows the stack of the code that raised it, which says nothing to a user. Dagster leaves it out only
where the error of another process is shown as that process described it.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import SerializableErrorInfo  # type: ignore[attr-defined]


class ExpectedFailure(dg.Failure, DagsterUserCodeProcessError):
    """A failure that is shown by its description alone, and is not retried.

    Args:
        description: The sentence that the user reads: what is wrong, where, and what to do.
        metadata: Values that are shown below it.
    """

    def __init__(self, description: str, metadata: Mapping[str, Any] | None = None) -> None:
        # Neither of the two constructors knows that there is another.
        Exception.__init__(self, description)
        failure = dg.Failure(description, metadata, allow_retries=False)
        self.description = failure.description
        self.metadata = failure.metadata
        self.allow_retries = failure.allow_retries
        shown = SerializableErrorInfo(f"{description}\n", stack=[], cls_name="Failure")
        self.user_code_process_error_infos = [shown]
