"""Where a reader of new objects stands, and what it reads next; pure values, without I/O.

A reader has processed all objects of one state of the inventory: a date, and the identity of the
manifest that the date had. It goes from state to state:

- to the next date that has a change log. If the log was made with the state at which the reader
  stands, the log is what it reads. Otherwise (the reader's date was published again, or the log's
  baseline came later) the two inventories are compared.
- to the new inventory of the reader's own date, if that was published again: the correction.

It never goes back: not to an earlier date, and not to an inventory that was listed earlier than the
state at which it stands. In such an inventory objects are missing that were processed already, and
they would count as created once more in the next one. Thus every object that is in the state to
which a reader goes, and was not in the one before with the same ETag and size, is read once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from pydantic import AwareDatetime, TypeAdapter

from inventory_assets.inventory.errors import CursorRefused
from inventory_assets.inventory.storage.record_format import UNNUMBERED, require_known_format


class _OfSource(Protocol):
    @property
    def source(self) -> str: ...


CursorT = TypeVar("CursorT", bound=_OfSource)


@dataclass(frozen=True, slots=True)
class InventoryState:
    """An inventory of a date, as it was published at some time.

    Attributes:
        day: The date.
        manifest: The identity of the manifest.
        listed_at: The time whose state it holds.
    """

    day: date
    manifest: str
    listed_at: AwareDatetime


@dataclass(frozen=True, slots=True)
class LoggedDate:
    """What the change log of a date says about itself.

    Attributes:
        state: The inventory whose changes it has.
        baseline_day: The date of the inventory with which that was compared; None without one.
        baseline: The identity of that inventory; None without one.
    """

    state: InventoryState
    baseline_day: date | None
    baseline: str | None

    def continues(self, state: InventoryState) -> bool:
        """Whether the log has the changes since a state."""
        return (self.baseline_day, self.baseline) == (state.day, state.manifest)


@dataclass(frozen=True, slots=True)
class Step:
    """From one inventory to another.

    Attributes:
        before: Whose objects were processed; None where nothing was.
        after: The inventory to which the step leads.
    """

    before: InventoryState | None
    after: InventoryState


@dataclass(frozen=True, slots=True)
class ChangeCursor:
    """Where a reader of one source stands.

    Attributes:
        source: The folder of the source in the store: bucket and name.
        state: The inventory whose objects were processed; None before the first: the first step
            then has all objects of the newest inventory.
    """

    source: str
    state: InventoryState | None = None

    def next_step(self, dates: Iterable[LoggedDate]) -> Step | None:
        """What to read next; None if everything was read.

        Args:
            dates: The change logs from the date of the cursor on, in any order; without a state,
                the newest is enough.
        """
        ahead = [each.state for each in dates if self._is_ahead(each.state)]
        if not ahead:
            return None
        choose = max if self.state is None else min
        return Step(self.state, choose(ahead, key=lambda state: state.day))

    def after(self, step: Step) -> "ChangeCursor":
        """The cursor once all objects of a step were processed."""
        return ChangeCursor(self.source, step.after)

    def to_json(self) -> str:
        """The cursor as text, such as for a database."""
        return _ADAPTER.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str, source: str) -> "ChangeCursor":
        """Read the text of a cursor.

        Raises:
            CursorRefused: It is the cursor of another source, or none.
        """
        return parse_cursor(_ADAPTER, text, source, "new objects", "remove it")

    def _is_ahead(self, state: InventoryState) -> bool:
        stand = self.state
        if stand is None:
            return True
        is_later = state.day > stand.day
        is_correction = state.day == stand.day and state.manifest != stand.manifest
        return (is_later or is_correction) and state.listed_at >= stand.listed_at


_ADAPTER = TypeAdapter(ChangeCursor)


def parse_cursor(
    adapter: TypeAdapter[CursorT], text: str, source: str, kind: str, remedy: str
) -> CursorT:
    """Read the text of a cursor, and require that it belongs to a source.

    Args:
        adapter: Of the type of the cursor.
        text: The text.
        source: The folder of the source.
        kind: Whose cursor it is, for messages.
        remedy: How to remove one, for messages.

    Raises:
        CursorRefused: It is the cursor of another source, or none.
        OtherFormat: A newer version wrote it.
    """
    require_known_format(text.encode(), (UNNUMBERED,), f"cursor of {kind}", "the cursor")
    try:
        cursor = adapter.validate_json(text)
    except ValueError:
        raise CursorRefused(
            f"this is no cursor of {kind}: {text[:80]!r}; {remedy} to begin anew"
        ) from None
    if cursor.source != source:
        raise CursorRefused(
            f"the cursor belongs to the source {cursor.source!r}, and this reads {source!r}; "
            "remove the cursor to begin anew, or name the source to which it belongs"
        )
    return cursor
