"""Read the fields of S3's JSON, and collect their mistakes: the place, what was found, the remedy.

A field that is mistaken is read as if it were not there, so that all mistakes are found at once.
"""

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inventory_assets.config.wording import suggestion


class JsonFields:
    """Reads fields, and collects their mistakes.

    Attributes:
        within: The object whose fields are read, as it is named in mistakes; "" for the document.
        mistakes: The mistakes so far.
    """

    def __init__(self) -> None:
        self.within = ""
        self.mistakes: list[str] = []

    def say(self, field: str, mistake: str) -> None:
        """Add a mistake of a field; "" for the object itself."""
        place = ".".join(filter(None, [self.within, field]))
        self.mistakes.append(f"{place}: {mistake}" if place else mistake)

    def known(self, where: str, given: Mapping[str, Any], fields: Sequence[str]) -> None:
        """Check that an object has no other fields than some."""
        for name in given:
            if name not in fields:
                remedy = suggestion(str(name), fields) or f"remove it, or use {', '.join(fields)}"
                self.say(f"{where}.{name}" if where else str(name), f"unknown field; {remedy}")

    def text(self, where: str, given: object) -> str:
        """A text; "" if it is none."""
        if isinstance(given, str):
            return given
        self.say(where, f"found {shown(given)}, expected a text in quotes; write one")
        return ""

    def object_in(self, given: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
        """The object in a field; None if there is none."""
        found = given.get(field)
        if field not in given:
            return None
        if isinstance(found, dict) and found:
            return found
        self.say(field, f"found {shown(found)}, expected an object with fields; fill or remove it")
        return None

    def objects_in(
        self, given: Mapping[str, Any], field: str
    ) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The objects in the list of a field, each with its place."""
        found = given.get(field, [])
        if not isinstance(found, list):
            self.say(field, f"found {shown(found)}, expected a list; write [{{…}}]")
            return
        for index, each in enumerate(found):
            if isinstance(each, dict):
                yield f"{field}[{index}]", each
            else:
                self.say(f"{field}[{index}]", f"found {shown(each)}, expected an object")

    def number(
        self,
        where: str,
        given: Mapping[str, Any],
        field: str,
        least: int,
        most: int | None = None,
    ) -> int | None:
        """The whole number in a field; None if there is none."""
        if field not in given:
            return None
        value = given[field]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and least <= value <= (value if most is None else most):
            return int(value)
        expected = f"{least} or more" if most is None else f"{least} to {most}"
        self.say(
            f"{where}.{field}",
            f"found {shown(value)}, expected a whole number, {expected}; correct it",
        )
        return None

    def required_number(self, where: str, given: Mapping[str, Any], field: str, least: int) -> int:
        """The whole number in a field that must be there; the least one if it is not."""
        if field not in given:
            self.say(f"{where}.{field}", f"found nothing, expected {least} or more; add it")
            return least
        found = self.number(where, given, field, least)
        return least if found is None else found

    def date(self, where: str, given: object) -> dt.date | None:
        """The day that begins at a time; None if it is no time."""
        moment: dt.datetime | None = None
        if isinstance(given, dt.datetime):
            moment = given
        elif isinstance(given, str):
            try:
                moment = dt.datetime.fromisoformat(given)
            except ValueError:
                moment = None
        if moment is None:
            self.say(
                where,
                f"found {shown(given)}, expected a date in ISO 8601; write for example "
                '"2027-01-01T00:00:00Z"',
            )
            return None
        moment = moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        if moment.time() != dt.time():
            self.say(where, f"found {moment.isoformat()}, expected midnight UTC; correct the time")
        return moment.date()


def shown(value: object) -> str:
    """A value for a message."""
    if value is None:
        return "nothing"
    text = str(value) if isinstance(value, dt.date) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:80]}…"
