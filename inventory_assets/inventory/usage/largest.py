"""Choose and order the prefixes that people look at first."""

from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc

_TOTALS = ["objects", "bytes", "delete_markers"]


def largest_prefixes(prefixes: pa.Table, column: str) -> pa.Table:
    """The prefixes except "", the largest first; of equal ones, the first in byte order.

    A prefix whose records are all in one deeper prefix is left out: the deeper one says more.

    Args:
        prefixes: A table with `PREFIX_SCHEMA`.
        column: The column whose largest values come first; null is last.
    """
    below = prefixes.filter(pc.not_equal(prefixes.column("prefix"), ""))
    names, *totals = (below.column(name).to_pylist() for name in ["prefix", *_TOTALS])
    rows = list(zip(names, *totals, strict=True))
    # Sorted by prefix, a prefix precedes those beneath it.
    shown = [
        row[1:] != later[1:] or not later[0].startswith(row[0]) for row, later in pairwise(rows)
    ]
    chosen = below.filter(pa.array([*shown, True][: len(rows)], pa.bool_()))
    return chosen.sort_by([(column, "descending"), ("prefix", "ascending")])
