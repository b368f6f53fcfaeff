"""One case: the habits of a store, its content, and the expected inventory."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from inventory_assets_tests.stores.habits import Habits
from inventory_assets_tests.stores.holdings import StoredObject

ALWAYS = 10**9


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the report.

    Attributes:
        says: What the store does, as a sentence; the test's name.
        habits: The store's.
        bucket: What it holds; called once.
        refusal: What the message of a refusal must match; None where only the truth will do.
        must_refuse: Whether no result is right.
        prefix: What is listed.
        with_versions: Whether versions are.
        is_fast: Whether it runs with all other tests.
        in_flight: Requests at once.
        page_keys: Keys in a page at most, where the habits do not say so: few keys, many pages.
    """

    says: str
    habits: Habits
    bucket: Callable[[], list[StoredObject]]
    refusal: str | None = None
    must_refuse: bool = False
    prefix: str = ""
    with_versions: bool = False
    is_fast: bool = False
    in_flight: int = 8
    page_keys: int = 100

    @property
    def store_habits(self) -> Habits:
        """The habits, with the size of the pages."""
        if "page_keys" in self.habits.unusual:
            return self.habits
        return replace(self.habits, page_keys=self.page_keys)

    def allows(self, message: str) -> bool:
        """Whether an error with this message is expected."""
        return self.refusal is not None and bool(re.search(self.refusal, message, re.IGNORECASE))
