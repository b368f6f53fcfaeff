"""The prefixes that rules act on most, found in one pass over sorted keys."""

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from inventory_assets.inventory.lifecycle.effects import PrefixEffect, Tally

_Integers = NDArray[np.int64]


@dataclass(slots=True)
class PrefixTallies:
    """Objects and bytes by prefix and rule, with bounded memory.

    Keys come in order, so the keys of a prefix of some depth follow each other, and of all prefixes
    before the last one only the largest are kept.

    Attributes:
        depth: The number of "/" in a prefix.
        rules: The number of rules.
        shown: The number of prefixes kept for each rule.
    """

    depth: int
    rules: int
    shown: int
    _open: str | None = None
    _open_objects: _Integers = field(init=False)
    _open_bytes: _Integers = field(init=False)
    _largest: list[list[PrefixEffect]] = field(init=False)
    _totals: list[Tally] = field(init=False)

    def __post_init__(self) -> None:
        self._open_objects = np.zeros(self.rules, np.int64)
        self._open_bytes = np.zeros(self.rules, np.int64)
        self._largest = [[] for _ in range(self.rules)]
        self._totals = [Tally()] * self.rules

    def add(self, keys: pa.StringArray, sizes: _Integers, acts: NDArray[np.bool_]) -> None:
        """Add records.

        Args:
            keys: Their keys, ascending, and not before those added earlier.
            sizes: Their bytes.
            acts: For each record, a row: which rules act on it.
        """
        if not len(keys):
            return
        prefixes = pc.struct_field(
            pc.extract_regex(keys, f"(?s)^(?P<prefix>(?:[^/]*/){{{self.depth}}})"), "prefix"
        )
        # Keys without such a prefix lie between others; they are counted in the totals alone.
        is_deep = prefixes.is_valid().to_numpy(zero_copy_only=False)
        active = np.flatnonzero(acts.any(axis=0)).tolist()
        for rule in active:
            mask = acts[:, rule]
            self._totals[rule] = Tally(
                self._totals[rule].objects + int(mask.sum()),
                self._totals[rule].bytes + int(sizes[mask].sum()),
            )
        if not is_deep.any():
            return
        prefixes = prefixes.drop_null()
        sizes, acts = sizes[is_deep], acts[is_deep]
        is_new = np.ones(len(prefixes), np.bool_)
        is_new[1:] = pc.not_equal(prefixes[1:], prefixes[:-1]).to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(is_new)
        if self._open is not None and prefixes[0].as_py() != self._open:
            self._close()
        last = prefixes[int(starts[-1])].as_py()
        for rule in active:
            mask = acts[:, rule]
            objects = np.add.reduceat(mask.astype(np.int64), starts)
            counts = np.add.reduceat(np.where(mask, sizes, 0), starts)
            objects[0] += self._open_objects[rule]
            counts[0] += self._open_bytes[rule]
            self._open_objects[rule], self._open_bytes[rule] = objects[-1], counts[-1]
            self._keep(rule, prefixes, starts[:-1], objects[:-1], counts[:-1])
        # What is open of other rules ends with the first run, if another one follows.
        if len(starts) > 1:
            ending = ~acts.any(axis=0) & (self._open_objects > 0)
            for rule in np.flatnonzero(ending).tolist():
                self._keep_one(rule)
        self._open = last

    def of_rule(self, rule: int) -> tuple[tuple[PrefixEffect, ...], Tally]:
        """The largest prefixes of a rule, and the total of all other keys; called at the end."""
        if self._open is not None:
            self._close()
        largest = sorted(self._largest[rule], key=_order)[: self.shown]
        total = self._totals[rule]
        others = Tally(
            total.objects - sum(each.objects for each in largest),
            total.bytes - sum(each.bytes for each in largest),
        )
        return tuple(largest), others

    def _close(self) -> None:
        for rule in np.flatnonzero(self._open_objects).tolist():
            self._keep_one(rule)
        self._open = None

    def _keep_one(self, rule: int) -> None:
        if self._open is not None:
            objects, size = int(self._open_objects[rule]), int(self._open_bytes[rule])
            self._push(rule, [PrefixEffect(self._open, objects, size)])
        self._open_objects[rule] = self._open_bytes[rule] = 0

    def _keep(
        self,
        rule: int,
        prefixes: pa.StringArray,
        starts: _Integers,
        objects: _Integers,
        counts: _Integers,
    ) -> None:
        """Keep the largest of some complete prefixes."""
        order = np.lexsort((np.arange(len(starts)), -objects, -counts))[: self.shown]
        self._push(
            rule,
            [
                PrefixEffect(prefixes[int(starts[i])].as_py(), int(objects[i]), int(counts[i]))
                for i in order
                if objects[i]
            ],
        )

    def _push(self, rule: int, found: list[PrefixEffect]) -> None:
        kept = self._largest[rule]
        kept += found
        if len(kept) > 20 * self.shown:
            kept[:] = sorted(kept, key=_order)[: self.shown]


def _order(effect: PrefixEffect) -> tuple[int, int, str]:
    return -effect.bytes, -effect.objects, effect.prefix
