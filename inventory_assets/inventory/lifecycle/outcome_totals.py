"""The distinct outcomes of a simulation, with the records that have them."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from inventory_assets.inventory.lifecycle.effects import Action
from inventory_assets.inventory.lifecycle.outcome import Outcome, Subject
from inventory_assets.inventory.lifecycle.prefix_effects import PrefixTallies
from inventory_assets.inventory.lifecycle.record_columns import Flags, Integers

NEVER = int(np.iinfo(np.int64).max)
"""The day of what never happens."""

EXAMPLES = 3
"""Keys kept for each dispute."""

_FIRST_SIZE = 1024


@dataclass(slots=True)
class OutcomeTotals:
    """Outcomes by index.

    Attributes:
        rules: The number of rules.
        prefixes: What each rule acts on, by prefix.
        subjects: What leads to each outcome.
        bands: The band of sizes of each outcome.
        outcomes: The outcomes.
        examples: The first keys of each dispute.
    """

    rules: int
    prefixes: PrefixTallies
    subjects: list[Subject] = field(default_factory=list)
    bands: list[int] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    examples: dict[tuple[Action, Action], list[str]] = field(default_factory=dict)
    _without_examples: set[int] = field(default_factory=set)
    _objects: Integers = field(init=False)
    _bytes: Integers = field(init=False)
    _hidden_on: Integers = field(init=False)
    _ended_on: Integers = field(init=False)
    _acting: Flags = field(init=False)

    def __post_init__(self) -> None:
        self._objects, self._bytes, self._hidden_on, self._ended_on = np.zeros(
            (4, _FIRST_SIZE), np.int64
        )
        self._acting = np.zeros((_FIRST_SIZE, self.rules), np.bool_)

    def append(self, subject: Subject, band: int, outcome: Outcome) -> int:
        """Add an outcome; return its index."""
        index = len(self.outcomes)
        if index == len(self._objects):
            self._grow()
        self.subjects.append(subject)
        self.bands.append(band)
        self.outcomes.append(outcome)
        self._hidden_on[index] = NEVER if outcome.hidden_on is None else outcome.hidden_on
        self._ended_on[index] = NEVER if outcome.ended_on is None else outcome.ended_on
        for event in outcome.events:
            self._acting[index, event.action.rule] = True
        if any(len(self.examples.get(pair, ())) < EXAMPLES for pair in outcome.disputes):
            self._without_examples.add(index)
        return index

    def hidden_on(self, indices: Integers) -> Integers:
        """The days on which objects with these outcomes are hidden, or `NEVER`."""
        return self._hidden_on[indices]

    def ended_on(self, indices: Integers) -> Integers:
        """The days on which versions with these outcomes are deleted, or `NEVER`."""
        return self._ended_on[indices]

    def of(self, index: int) -> tuple[int, int]:
        """The number and the bytes of the records with an outcome."""
        return int(self._objects[index]), int(self._bytes[index])

    def count(self, keys: pa.StringArray, sizes: Integers, indices: Integers) -> None:
        """Count records.

        Args:
            keys: Their keys, ascending, and not before those counted earlier.
            sizes: Their bytes.
            indices: Their outcomes.
        """
        if not len(indices):
            return
        counted = np.bincount(indices)
        seen = np.flatnonzero(counted)
        self._objects[seen] += counted[seen]
        np.add.at(self._bytes, indices, sizes)
        is_acting = np.zeros(len(counted), np.bool_)
        is_acting[seen] = self._acting[seen].any(axis=1)
        rows = np.flatnonzero(is_acting[indices])
        if len(rows) == len(keys):
            self.prefixes.add(keys, sizes, self._acting[indices])
        elif len(rows):
            acts = self._acting[indices[rows]]
            self.prefixes.add(keys.take(pa.array(rows)), sizes[rows], acts)
        for index in self._without_examples.intersection(seen.tolist()):
            places = np.flatnonzero(indices == index)[:EXAMPLES]
            self._keep_examples(index, [keys[int(place)].as_py() for place in places])

    def _keep_examples(self, index: int, keys: list[str]) -> None:
        pairs = self.outcomes[index].disputes
        for pair in pairs:
            kept = self.examples.setdefault(pair, [])
            kept += [key for key in dict.fromkeys(keys) if key not in kept]
            # Outcomes are seen in any order, but keys of later batches come later.
            kept[:] = sorted(kept)[:EXAMPLES]
        if all(len(self.examples[pair]) >= EXAMPLES for pair in pairs):
            self._without_examples.discard(index)

    def _grow(self) -> None:
        for name in ("_objects", "_bytes", "_hidden_on", "_ended_on", "_acting"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
