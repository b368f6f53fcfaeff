"""The results of a simulation: what each rule does, from the totals of all outcomes."""

from collections.abc import Sequence
from datetime import date

from inventory_assets.inventory.lifecycle.effects import (
    DAYS,
    Action,
    ActionEffect,
    ActionKind,
    Dispute,
    LifecycleSimulation,
    RuleEffect,
    Tally,
)
from inventory_assets.inventory.lifecycle.outcome import State
from inventory_assets.inventory.lifecycle.outcome_totals import OutcomeTotals
from inventory_assets.inventory.lifecycle.rules import Rule
from inventory_assets.inventory.lifecycle.simulated_money import Stored, money_of
from inventory_assets.inventory.pricing.price_table import Prices

_MARKERS = frozenset({State.MARKER, State.NONCURRENT_MARKER})


def simulation_of(
    totals: OutcomeTotals,
    rules: Sequence[Rule],
    at: date,
    prices: Prices,
    *,
    has_versions: bool,
    undated: int,
) -> LifecycleSimulation:
    """What rules do to all records counted.

    Args:
        totals: The outcomes, with the records that have them.
        rules: The rules.
        at: The first day.
        prices: The prices.
        has_versions: Whether the records are those of all versions.
        undated: The number of records without a time.
    """
    effects: dict[Action, list[list[int]]] = {}
    matched = [[0, 0] for _ in rules]
    records = [0, 0]
    disputes: dict[tuple[Action, Action], list[int]] = {}
    stored = Stored()
    for index, outcome in enumerate(totals.outcomes):
        objects, size = totals.of(index)
        if not objects:
            continue
        records[0] += objects
        records[1] += size
        subject = totals.subjects[index]
        for rule in subject.rules:
            matched[rule][0] += objects
            matched[rule][1] += size
        for event in outcome.events:
            tallies = effects.setdefault(event.action, [[0, 0] for _ in range(DAYS + 1)])
            tallies[min(event.day, DAYS)][0] += objects
            tallies[min(event.day, DAYS)][1] += size
        for pair in outcome.disputes:
            found = disputes.setdefault(pair, [0, 0])
            found[0] += objects
            found[1] += size
        if subject.state not in _MARKERS:
            stored.add(subject, outcome, totals.bands[index], objects, size)
    return LifecycleSimulation(
        at=at,
        has_versions=has_versions,
        records=Tally(*records),
        undated=undated,
        rules=tuple(
            _rule_effect(index, rule, Tally(*matched[index]), effects, totals, has_versions)
            for index, rule in enumerate(rules)
        ),
        disputes=tuple(
            _dispute(pair, Tally(*found), rules, totals)
            for pair, found in sorted(
                disputes.items(), key=lambda each: (-each[1][1], -each[1][0], str(each[0]))
            )
        ),
        money=money_of(stored, prices),
    )


def _rule_effect(
    index: int,
    rule: Rule,
    matched: Tally,
    effects: dict[Action, list[list[int]]],
    totals: OutcomeTotals,
    has_versions: bool,
) -> RuleEffect:
    found = sorted(
        ((action, tallies) for action, tallies in effects.items() if action.rule == index),
        key=lambda each: (list(ActionKind).index(each[0].kind), each[0].target),
    )
    actions = [
        ActionEffect(
            action.title,
            action.kind,
            action.target,
            tuple(Tally(*each) for each in tallies[:DAYS]),
            Tally(sum(each[0] for each in tallies), sum(each[1] for each in tallies)),
        )
        for action, tallies in found
    ]
    prefixes, others = totals.prefixes.of_rule(index)
    note = _note(rule, has_versions)
    return RuleEffect(rule, note, matched, tuple(actions), prefixes, others)


def _dispute(
    pair: tuple[Action, Action],
    tally: Tally,
    rules: Sequence[Rule],
    totals: OutcomeTotals,
) -> Dispute:
    winner, loser = pair
    return Dispute(
        rules[winner.rule].id,
        winner.title,
        rules[loser.rule].id,
        loser.title,
        tally.objects,
        tally.bytes,
        tuple(totals.examples.get(pair, ())),
    )


def _note(rule: Rule, has_versions: bool) -> str:
    """Why a rule is simulated in part or not at all; "" if it is simulated."""
    if not rule.enabled:
        return "disabled"
    if rule.tags:
        return "unknown: filters by tag"
    notes = []
    if rule.abort_uploads_days is not None:
        notes.append("incomplete uploads are not in a listing")
    needs_versions = rule.noncurrent_transitions or rule.noncurrent_expiration
    if not has_versions and (needs_versions or (rule.expiration and rule.expiration.markers)):
        notes.append("versions were not listed")
    return "; ".join(notes)
