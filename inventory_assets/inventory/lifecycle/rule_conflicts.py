"""What the actions of one rule must have in common for S3 to accept them."""

from collections import Counter
from collections.abc import Iterator, Sequence

from inventory_assets.inventory.lifecycle.rules import (
    INFREQUENT,
    WATERFALL,
    Expiration,
    Rule,
    Transition,
)

INFREQUENT_DAYS = 30
"""Days that objects must have before they are moved to a class of `INFREQUENT`, and stay in it."""

Mistake = tuple[str, str]
"""A field, and what is wrong with it."""


def conflicts(rule: Rule) -> Iterator[Mistake]:
    """Where the actions and the filter of a rule exclude each other."""
    timed: list[Transition | Expiration] = [*rule.transitions]
    if rule.expiration and not rule.expiration.markers:
        timed.append(rule.expiration)
    if any(each.days is not None for each in timed) and any(each.date for each in timed):
        yield (
            "Transitions" if rule.transitions else "Expiration",
            "found Days and Date in one rule, expected one of them; use a second rule",
        )
    yield from _early_ends(rule)
    if rule.tags and rule.expiration and rule.expiration.markers:
        yield (
            "Expiration.ExpiredObjectDeleteMarker",
            "found together with a filter by tag, expected without; use a second rule",
        )
    if rule.tags and rule.abort_uploads_days is not None:
        yield (
            "AbortIncompleteMultipartUpload",
            "found together with a filter by tag, expected without; use a second rule",
        )


def early_move(where: str, target: str, days: int | None) -> Iterator[Mistake]:
    """A move to a class to which S3 moves objects only later."""
    if target in INFREQUENT and days is not None and days < INFREQUENT_DAYS:
        yield (
            where,
            (
                f"found {days}, expected at least {INFREQUENT_DAYS} for {target}; raise it, or use "
                "another class"
            ),
        )


def disorder(where: str, moves: Sequence[tuple[str, int | None]]) -> Iterator[Mistake]:
    """Classes that occur twice, and colder classes that do not come later.

    Args:
        where: The field of the moves.
        moves: The class and the days of each; "" for a class that is mistaken.
    """
    names = Counter(name for name, _ in moves if name)
    for name, count in names.items():
        if count > 1:
            yield where, f"found {name} {count} times, expected each class once; remove the rest"
    known = [(WATERFALL.index(name), days) for name, days in moves if name and days is not None]
    for place, days in known:
        for colder, later in known:
            if colder <= place:
                continue
            target = WATERFALL[colder]
            gap = (
                INFREQUENT_DAYS
                if WATERFALL[place] in INFREQUENT and target != "INTELLIGENT_TIERING"
                else 1
            )
            if later < days + gap:
                yield (
                    where,
                    (
                        f"found {target} after {later} days, expected {days + gap} or more, as "
                        f"{WATERFALL[place]} comes before it after {days}; raise it"
                    ),
                )


def _early_ends(rule: Rule) -> Iterator[Mistake]:
    """Expirations that do not come after the last move."""
    if rule.expiration:
        days = [each.days for each in rule.transitions]
        yield from _early_end("Expiration.Days", rule.expiration.days, days)
        end = rule.expiration.date
        if end and any(each.date and each.date >= end for each in rule.transitions):
            yield (
                "Expiration.Date",
                f"found {end}, expected a later date than those of Transitions; correct it",
            )
    if rule.noncurrent_expiration:
        yield from _early_end(
            "NoncurrentVersionExpiration.NoncurrentDays",
            rule.noncurrent_expiration.days,
            [each.days for each in rule.noncurrent_transitions],
        )


def _early_end(where: str, end: int | None, moves: Sequence[int | None]) -> Iterator[Mistake]:
    latest = max((days for days in moves if days is not None), default=None)
    if end is not None and latest is not None and end <= latest:
        yield (
            where,
            (
                f"found {end}, expected more than the {latest} days of the last transition; raise "
                "it, or remove the transition"
            ),
        )
