"""What is to be told, to whom: situations now against what was told before.

The state is the cursor of a sensor. A message is told at least once to each notifier: what could
not be delivered stays in the state and is tried again at the next tick.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import TypeAdapter

from inventory_assets.alerts.situation import Situation, State

MAX_OPEN = 50
"""Situations of a kind that are followed at a time; more are only counted, so that a cursor is
bounded. Many failed runs leave room for a held date."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A situation, and who knows what of it.

    Attributes:
        situation: The situation as it was last seen; its text is about its end, if it has ended.
        is_open: Whether it has not ended.
        known: The fingerprints that were told, by the names of notifiers.
    """

    situation: Situation
    is_open: bool = True
    known: Mapping[str, str] = field(default_factory=dict)

    def due(self, notifier: str) -> State | None:
        """What a notifier is to be told; None for nothing."""
        is_known = notifier in self.known
        if not self.is_open:
            return State.RESOLVED if is_known else None
        if self.known.get(notifier) == self.situation.mark:
            return None
        return State.CHANGED if is_known else State.OPEN

    def after(self, notifier: str) -> "Followed":
        """The same after a delivery."""
        others = {name: mark for name, mark in self.known.items() if name != notifier}
        known = {**others, notifier: self.situation.mark} if self.is_open else others
        return replace(self, known=known)


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to be delivered.

    Attributes:
        key: The key of the situation.
        notifier: The name of the notifier.
        state: What the message says.
        situation: The situation.
    """

    key: str
    notifier: str
    state: State
    situation: Situation


@dataclass(frozen=True, slots=True)
class Outbox:
    """What was told, by the keys of situations.

    Attributes:
        followed: The situations that are open, or whose end somebody is still to be told of.
        left_out: How many further situations are not followed.
    """

    followed: Mapping[str, Followed] = field(default_factory=dict)
    left_out: int = 0

    def updated(
        self, now: Sequence[Situation], ended: Mapping[str, str], notifiers: Sequence[str]
    ) -> "Outbox":
        """The state after a look at what is wrong now.

        Args:
            now: The open situations.
            ended: Sentences about the end of situations, by key. An open situation that is neither
                in `now` nor here is forgotten without a message.
            notifiers: The names of the notifiers; what others knew is forgotten.
        """
        open_now = {situation.key: situation for situation in now}
        found: dict[str, Followed] = {}
        for key, before in self.followed.items():
            if key in open_now:
                found[key] = Followed(open_now.pop(key), known=before.known)
            elif not before.is_open:
                found[key] = before
            elif key in ended:
                found[key] = replace(
                    before, situation=replace(before.situation, text=ended[key]), is_open=False
                )
        counts = Counter(each.situation.kind for each in found.values())
        left_out = 0
        for key, situation in open_now.items():
            if counts[situation.kind] >= MAX_OPEN:
                left_out += 1
            else:
                counts[situation.kind] += 1
                found[key] = Followed(situation)
        kept = {}
        for key, each in found.items():
            known = {name: mark for name, mark in each.known.items() if name in notifiers}
            if each.is_open or known:
                kept[key] = replace(each, known=known)
        return Outbox(kept, left_out)

    def pending(self, notifiers: Sequence[str]) -> Iterator[Due]:
        """What is to be delivered: the oldest first, and last what was refused before."""
        for key, each in self.followed.items():
            for name in notifiers:
                state = each.due(name)
                if state is not None:
                    yield Due(key, name, state, each.situation)

    def delivered(self, due: Due) -> "Outbox":
        """The state after a delivery."""
        after = self.followed[due.key].after(due.notifier)
        return replace(self, followed={**self.followed, due.key: after})

    def refused(self, due: Due) -> "Outbox":
        """The state after a failed delivery: the situation goes behind all others.

        Otherwise a message that its receiver never accepts would keep all others from it.
        """
        others = {key: each for key, each in self.followed.items() if key != due.key}
        return replace(self, followed={**others, due.key: self.followed[due.key]})

    @property
    def open_situations(self) -> list[Situation]:
        """The situations that have not ended."""
        return [each.situation for each in self.followed.values() if each.is_open]


OUTBOX: TypeAdapter[Outbox] = TypeAdapter(Outbox)
"""Reads and writes the state."""
