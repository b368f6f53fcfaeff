"""What is wrong with a source, and the message about it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from inventory_assets.errors import printable

NAME_CHARACTERS = 120
"""The longest name, such as a key, in a message."""

TEXT_CHARACTERS = 600
"""The longest text of a message."""

_QUOTED = re.compile(
    r"""(?<!\w)(?P<quote>['"])(?:[^'"\\]|\\.|(?!(?P=quote))['"])*(?:(?P<end>(?P=quote))|\\?\Z)"""
)
"""A text as `repr` writes it: within the quotes, no unescaped quote of the same kind. One that is
not closed goes on to the end, or each of many quotes would be a start that is searched to the end.
"""

_UNBROKEN = re.compile(rf"\S{{{NAME_CHARACTERS + 1},}}")


class Kind(StrEnum):
    """The kinds of situations."""

    FAILED_RUN = "failed_run"
    LATE_DATE = "late_date"
    HELD_DATE = "held_date"
    ODD_DATE = "odd_date"


class State(StrEnum):
    """What a message says of a situation."""

    OPEN = "open"
    CHANGED = "changed"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Situation:
    """Something that is wrong at present.

    Attributes:
        key: What it is about; one message is sent for each key, until it changes.
        kind: Its kind.
        text: A sentence that says what happened; messages show it `bounded`.
        fingerprint: What must differ for it to be told again; by default the text.
        day: The date that it is about, as text; "" for none.
        run_id: The run that shows it; "" for none.
    """

    key: str
    kind: Kind
    text: str
    fingerprint: str = ""
    day: str = ""
    run_id: str = ""

    @property
    def mark(self) -> str:
        """A short hash of the fingerprint."""
        return sha256((self.fingerprint or self.text).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Message:
    """A message to people.

    Attributes:
        source: The source.
        state: Whether the situation is new, has changed, or has ended.
        situation: The situation, or the last that was known of it.
        url: A link to the run, or to the deployment; "" without one.
    """

    source: str
    state: State
    situation: Situation
    url: str = ""

    @property
    def title(self) -> str:
        """A line that says which source, what, and when."""
        kind, day = self.situation.kind.replace("_", " "), self.situation.day
        about = f"{self.source}: {kind}{f' {day}' if day else ''}"
        return about if self.state is State.OPEN else f"{about} ({self.state})"

    @property
    def text(self) -> str:
        """What happened, bounded."""
        return bounded(self.situation.text)

    def as_json(self) -> dict[str, str | int]:
        """The documented body of a webhook (docs/alerts.md)."""
        return {
            "version": 1,
            "source": self.source,
            "kind": str(self.situation.kind),
            "state": str(self.state),
            "key": self.situation.key,
            "date": self.situation.day,
            "title": self.title,
            "text": self.text,
            "run_id": self.situation.run_id,
            "url": self.url,
        }


def bounded(text: str) -> str:
    """A text in one printable line, whose names are cut, and which is cut itself."""
    line = printable(" ".join(text.split()))
    line = _QUOTED.sub(_cut_quoted, line)
    line = _UNBROKEN.sub(lambda found: f"{found[0][:NAME_CHARACTERS]}…", line)
    return line if len(line) <= TEXT_CHARACTERS else f"{line[:TEXT_CHARACTERS]}…"


def _cut_quoted(found: re.Match[str]) -> str:
    quote, end = found["quote"], found["end"] or ""
    inner = found[0].removeprefix(quote).removesuffix(end)
    return found[0] if len(inner) <= NAME_CHARACTERS else f"{quote}{inner[:NAME_CHARACTERS]}…{end}"
