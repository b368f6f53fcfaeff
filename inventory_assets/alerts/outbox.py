"""What is to be told, to whom: situations now against what was told before.

The state is the cursor of a sensor. A message is told at least once to each receiver: what was not
accepted stays in the state and is tried again at the next tick. What was sent and not answered may
have arrived, and what was refused for good will be refused again. Both are sent again later, and
only a few times.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import TypeAdapter

from inventory_assets.alerts.situation import Situation, State

_V = TypeVar("_V")

MAX_OPEN = 50
"""Situations of a kind that are followed at a time; more are only counted, so that a cursor is
bounded. Many failed runs leave room for a held date."""


SENT_AGAIN_AFTER_SECONDS = (600.0, 3_600.0)
"""How long after a message that was not answered, or was refused for good, it is sent again. After
the last time it counts as delivered. Otherwise a slow receiver would get it for ever,
and a server would be asked for ever about an address that does not exist."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The attempts to send a message to a receiver who did not answer, or refused it for good.

    Attributes:
        message: Says which: its state, and what is told.
        times: How often it was sent.
        at: When it was sent last, as a Unix time.
    """

    message: str
    times: int
    at: float

    @property
    def again_at(self) -> float:
        """When it is to be sent again."""
        return self.at + SENT_AGAIN_AFTER_SECONDS[self.times - 1]


@dataclass(frozen=True, slots=True)
class Followed:
    """A situation, and who knows what of it.

    Attributes:
        situation: The situation as it was last seen; its text is about its end, if it has ended.
        is_open: Whether it has not ended.
        known: The fingerprints that were told, by the names of receivers.
        attempts: The messages that are sent again a few times, by the names of receivers.
    """

    situation: Situation
    is_open: bool = True
    known: Mapping[str, str] = field(default_factory=dict)
    attempts: Mapping[str, Attempts] = field(default_factory=dict)

    def due(self, receiver: str, now: float) -> State | None:
        """What a receiver is to be told at a Unix time; None for nothing."""
        state = self._state(receiver)
        waiting = self.attempts.get(receiver)
        if state is None or waiting is None or waiting.message != self._message(state):
            return state
        return state if now >= waiting.again_at else None

    def _state(self, receiver: str) -> State | None:
        # Who may know of it by a message that counts as delivered later is told of its end, too.
        is_known = receiver in self.known or receiver in self.attempts
        if not self.is_open:
            return State.RESOLVED if is_known else None
        if self._may_think_it_ended(receiver):
            return State.OPEN
        if self.known.get(receiver) == self.situation.mark:
            return None
        return State.CHANGED if receiver in self.known else State.OPEN

    def _may_think_it_ended(self, receiver: str) -> bool:
        waiting = self.attempts.get(receiver)
        return waiting is not None and waiting.message == State.RESOLVED

    def _message(self, state: State) -> str:
        # An end is told once, whatever was known before.
        return str(state) if state is State.RESOLVED else self.situation.mark

    def after(self, receiver: str) -> "Followed":
        """The same after a delivery."""
        others = _without(self.known, receiver)
        known = {**others, receiver: self.situation.mark} if self.is_open else others
        return replace(self, known=known, attempts=_without(self.attempts, receiver))

    def after_attempt(self, receiver: str, now: float) -> "Followed":
        """The same after a message that was not answered, or was refused for good."""
        state = self._state(receiver)
        if state is None:
            return self
        message, before = self._message(state), self.attempts.get(receiver)
        times = before.times + 1 if before and before.message == message else 1
        if times > len(SENT_AGAIN_AFTER_SECONDS):
            return self.after(receiver)
        waiting = {**self.attempts, receiver: Attempts(message, times, now)}
        return replace(self, attempts=waiting)


def _without(names: Mapping[str, _V], name: str) -> dict[str, _V]:
    return {each: value for each, value in names.items() if each != name}


@dataclass(frozen=True, slots=True)
class Due:
    """A message that is to be delivered.

    Attributes:
        key: The key of the situation.
        receiver: The name of the receiver.
        state: What the message says.
        situation: The situation.
    """

    key: str
    receiver: str
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
        self, now: Sequence[Situation], ended: Mapping[str, str], receivers: Sequence[str]
    ) -> "Outbox":
        """The state after a look at what is wrong now.

        Args:
            now: The open situations.
            ended: Sentences about the end of situations, by key. An open situation that is neither
                in `now` nor here is forgotten without a message.
            receivers: The names of the receivers; what others knew is forgotten.
        """
        open_now = {situation.key: situation for situation in now}
        found: dict[str, Followed] = {}
        for key, before in self.followed.items():
            if key in open_now:
                found[key] = replace(before, situation=open_now.pop(key), is_open=True)
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
            known = {name: mark for name, mark in each.known.items() if name in receivers}
            waiting = {name: sent for name, sent in each.attempts.items() if name in receivers}
            if each.is_open or known or waiting:
                kept[key] = replace(each, known=known, attempts=waiting)
        return Outbox(kept, left_out)

    def pending(self, receivers: Sequence[str], now: float) -> Iterator[Due]:
        """What is to be delivered: the oldest first, and last what was refused before."""
        for key, each in self.followed.items():
            for name in receivers:
                state = each.due(name, now)
                if state is not None:
                    yield Due(key, name, state, each.situation)

    def delivered(self, due: Due) -> "Outbox":
        """The state after a delivery."""
        after = self.followed[due.key].after(due.receiver)
        return replace(self, followed={**self.followed, due.key: after})

    def attempted(self, due: Due, now: float) -> "Outbox":
        """The state after a message that was not answered, or was refused for good.

        It goes behind all others.
        """
        after = self.followed[due.key].after_attempt(due.receiver, now)
        return replace(self, followed={**_without(self.followed, due.key), due.key: after})

    def refused(self, due: Due) -> "Outbox":
        """The state after a failed delivery: the situation goes behind all others.

        Otherwise a message that its receiver never accepts would keep all others from it.
        """
        followed = {**_without(self.followed, due.key), due.key: self.followed[due.key]}
        return replace(self, followed=followed)

    @property
    def open_situations(self) -> list[Situation]:
        """The situations that have not ended."""
        return [each.situation for each in self.followed.values() if each.is_open]


OUTBOX: TypeAdapter[Outbox] = TypeAdapter(Outbox)
"""Reads and writes the state."""
