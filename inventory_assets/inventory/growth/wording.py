"""Sentences about prefixes, for the message of a check."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from inventory_assets.errors import printable

SENTENCES = 3
"""The prefixes that a message names."""

_SHOWN_CHARACTERS = 120


class AboutPrefix(Protocol):
    """What was found of a prefix."""

    @property
    def prefix(self) -> str:
        """The prefix; the whole inventory is ""."""

    @property
    def text(self) -> str:
        """A sentence, in one printable line."""


Found = TypeVar("Found", bound=AboutPrefix)


def label(prefix: str) -> str:
    """A prefix as the subject of a sentence; it is escaped, and cut where it is long."""
    shown = printable(prefix)
    cut = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}…"
    return f"'{cut}'" if prefix else "the whole inventory"


def topmost(found: Sequence[Found]) -> list[Found]:
    """Those that are not about a prefix beneath another one of them; "" is above none.

    Args:
        found: In byte order of prefixes.
    """
    chosen: list[Found] = []
    above = ""
    for each in found:
        if above and each.prefix != above and each.prefix.startswith(above):
            continue
        above = each.prefix
        chosen.append(each)
    return chosen


def sentences(found: Sequence[Found]) -> list[str]:
    """The sentences of the first topmost prefixes, and the number of the other topmost ones."""
    prefixes = list(dict.fromkeys(each.prefix for each in topmost(found)))
    names, others = prefixes[:SENTENCES], len(prefixes) - SENTENCES
    more = [f"and {others:,} more prefix{'' if others == 1 else 'es'}"] if others > 0 else []
    return [each.text for each in found if each.prefix in names] + more
