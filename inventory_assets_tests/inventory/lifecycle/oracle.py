"""What lifecycle rules do to a bucket: the sums of what happens to each of its records.

The plain counterpart of the simulation: no groups of records.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from inventory_assets.inventory.lifecycle.effects import ActionKind
from inventory_assets.inventory.lifecycle.rules import Rule
from inventory_assets.inventory.pricing.price_table import GB
from inventory_assets_tests.inventory.lifecycle.fates import HORIZON, Deed, Fate, Fates, Version


@dataclass
class Expected:
    """What the oracle finds of a bucket."""

    matched: Counter[int] = field(default_factory=Counter)
    daily: Counter[tuple[Deed, int]] = field(default_factory=Counter)
    daily_bytes: Counter[tuple[Deed, int]] = field(default_factory=Counter)
    prefixes: Counter[tuple[int, str]] = field(default_factory=Counter)
    prefix_bytes: Counter[tuple[int, str]] = field(default_factory=Counter)
    disputes: dict[tuple[Deed, Deed], list[Version]] = field(default_factory=dict)
    before: float = 0.0
    after: float = 0.0
    at_rest: float = 0.0
    transition: list[float] = field(default_factory=lambda: [0.0, 0.0])
    early: list[float] = field(default_factory=lambda: [0.0, 0.0])


class Oracle:
    """Applies rules to the versions of a bucket; `fates` applies them to one of them."""

    def __init__(self, fates: Fates) -> None:
        self.rules, self.prices = fates.rules, fates.prices
        self._fates = fates

    def bucket(self, versions: Sequence[Version]) -> Expected:
        """What happens to all versions, which are in order."""
        found = Expected()
        keys: dict[str, list[Version]] = {}
        for version in versions:
            keys.setdefault(version.key, []).append(version)
        for of_key in keys.values():
            self._key(of_key, found)
        return found

    def _key(self, versions: list[Version], found: Expected) -> None:
        everything = range(len(self.rules.rules))
        fates: dict[int, Fate] = {}
        joins: date | None = None
        for place, version in enumerate(versions):
            if version.is_latest and not version.is_marker:
                fates[place] = self._fates.current(version, everything)
                joins = fates[place].became_noncurrent
        ends = []
        for place, version in enumerate(versions):
            if version.is_latest:
                continue
            before = versions[place - 1].created if place else version.created
            newer = sum(not v.is_latest and not v.is_marker for v in versions[:place])
            since = before.date() if before else None
            fates[place] = self._fates.noncurrent(version, everything, since, newer, joins)
            ends.append(fates[place].deeds[-1][0] if self._fates.is_gone(fates[place]) else None)
        for place, version in enumerate(versions):
            alone: dict[int, Fate]
            if version.is_latest and version.is_marker:
                fates[place] = self._fates.marker(version, everything, ends)
                alone = {r: self._fates.marker(version, [r], ends) for r in everything}
            elif version.is_latest:
                alone = {r: self._fates.current(version, [r]) for r in everything}
            else:
                before = versions[place - 1].created if place else version.created
                newer = sum(not v.is_latest and not v.is_marker for v in versions[:place])
                since = before.date() if before else None
                alone = {
                    r: self._fates.noncurrent(version, [r], since, newer, joins) for r in everything
                }
            self._add(version, fates[place], alone, found)

    def _add(self, version: Version, fate: Fate, alone: dict[int, Fate], found: Expected) -> None:
        for r, rule in enumerate(self.rules.rules):
            found.matched[r] += self._fates.matches(version, rule)
        acting = set()
        for day, deed in fate.deeds:
            found.daily[deed, min(day, 30)] += 1
            found.daily_bytes[deed, min(day, 30)] += version.size
            acting.add(deed[0])
        prefix, slash, _ = version.key.partition("/")
        for r in acting:
            found.prefixes[r, prefix + slash if slash else ""] += 1
            found.prefix_bytes[r, prefix + slash if slash else ""] += version.size
        self._add_disputes(version, fate, alone, found)
        if not version.is_marker:
            self._add_money(version, fate, found)

    def _add_money(self, version: Version, fate: Fate, found: Expected) -> None:
        found.before += self._usd(version, version.storage_class)
        last = version.storage_class
        for day, (_, kind, target) in fate.deeds:
            if day < 30:
                last = target or (
                    "" if kind in (ActionKind.DELETE, ActionKind.NONCURRENT_DELETE) else last
                )
        found.after += self._usd(version, last)
        found.at_rest += self._usd(version, fate.classes[HORIZON] or "")
        for day, (_, _, target) in fate.deeds:
            if target:
                prices = self.prices.of_class(target)
                assert prices
                assert prices.transition_usd_per_1000 is not None
                for place in (0, 1) if day < 30 else (1,):
                    found.transition[place] += prices.transition_usd_per_1000 / 1000
        for day, name, missing in fate.missing_days:
            for place in (0, 1) if day < 30 else (1,):
                found.early[place] += self._usd(version, name) * missing / 30

    def _add_disputes(
        self, version: Version, fate: Fate, alone: dict[int, Fate], found: Expected
    ) -> None:
        pairs: dict[tuple[Deed, Deed], None] = {}
        for r, single in alone.items():
            for wanted in single.deeds:
                if wanted in fate.deeds:
                    continue
                day, deed = wanted
                others = [
                    each
                    for each in [*fate.deeds, *fate.holds]
                    if each[0] <= day and each[1][0] != r
                ]
                latest = max((each[0] for each in others), default=-1)
                others = [each for each in others if each[0] == latest]
                if others and others[0] != (day, (others[0][1][0], *deed[1:])):
                    pairs[others[0][1], deed] = None
        for pair in pairs:
            found.disputes.setdefault(pair, []).append(version)

    def _usd(self, version: Version, storage_class: str) -> float:
        """The price of a version for a month; "" is a deleted one."""
        if not storage_class:
            return 0.0
        found = self.prices.classes[storage_class]
        standard = self.prices.classes["STANDARD"].tiers[0].usd_per_gb_month
        billed = max(version.size, found.minimum_billable_bytes) + found.overhead_bytes
        usd = billed / GB * found.tiers[0].usd_per_gb_month
        usd += found.overhead_standard_bytes / GB * standard
        if version.size >= found.monitored_from_bytes:
            usd += found.monitoring_usd_per_1000 / 1000
        return usd


def renamed(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """The rules with distinct IDs."""
    return tuple(replace(rule, id=f"rule-{index}") for index, rule in enumerate(rules))
