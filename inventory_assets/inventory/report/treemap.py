"""The treemap of prefixes: a panel for each prefix that can be opened, with its parts as tiles.

The page has no script: a tile links to the panel of its prefix, and CSS shows the panel that the
address names.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count

from inventory_assets.inventory.report.report_data import PrefixRow, Total

MAX_PANELS = 60
"""The prefixes that can be opened, the largest first, so that the page stays below 1 MB."""

MAX_TILES = 18
"""The tiles of a panel; smaller prefixes share one tile."""

FEW_TILES = 8
"""With fewer tiles, a large one is replaced by those of its prefixes, so that a panel says more."""

LARGE_TILE = 0.25
"""The share of a panel from which a tile is large."""

COVERED = 0.9
"""The share of a large tile that its prefixes must have to replace it."""

ASPECT = 16 / 9
"""Width by height of a panel."""

GROWTH_STEPS = (-0.25, -0.05, -0.005, 0.005, 0.05, 0.25)
"""The bounds of the seven steps of growth, as shares of the earlier bytes."""


_HAIR = 1e-12
"""The least side to divide by: rounding can leave nothing for the last, invisible rectangles."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle in per cent of its panel."""

    left: float
    top: float
    width: float
    height: float


_NOWHERE = Rectangle(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a prefix.

    Attributes:
        name: What the tile says: its prefix without that of the panel.
        prefix: Its prefix; None for the objects that belong to no other tile.
        total: The objects in it.
        bytes_change: How many bytes more there are than before; None if unknown.
        storage_class: The storage class of most of its bytes; "" if unknown.
        place: Its rectangle.
        panel: The number of the panel that opens it; None if it cannot be opened.
    """

    name: str
    prefix: str | None
    total: Total
    bytes_change: int | None
    storage_class: str
    place: Rectangle
    panel: int | None = None

    @property
    def growth_step(self) -> int | None:
        """The step of its growth, from 0 (shrank) over 3 (as before) to 6; None if unknown."""
        if self.bytes_change is None:
            return None
        before = self.total.bytes - self.bytes_change
        if before <= 0:
            return 3 if self.bytes_change == 0 else len(GROWTH_STEPS)
        return sum(self.bytes_change / before > step for step in GROWTH_STEPS)


@dataclass(frozen=True, slots=True)
class Panel:
    """The tiles of one prefix.

    Attributes:
        number: Its number; the whole inventory has 0.
        row: The prefix.
        trail: The panels above it, from the whole inventory down.
        tiles: Its tiles, the largest first.
    """

    number: int
    row: PrefixRow
    trail: tuple["Panel", ...]
    tiles: tuple[Tile, ...]


def panels_of(rows: Sequence[PrefixRow]) -> list[Panel]:
    """The panels of prefixes, the whole inventory first.

    The largest prefixes are opened first, up to `MAX_PANELS`. A prefix whose objects are all in one
    prefix beneath it is shown as that one. Where there are few tiles, those of the prefixes beneath
    replace a large one.

    Args:
        rows: The prefixes; each one's parents are among them, up to the whole inventory, "".
    """
    by_prefix = {row.prefix: row for row in rows}
    children: defaultdict[str, list[PrefixRow]] = defaultdict(list)
    for row in rows:
        if row.prefix:
            children[row.parent].append(row)
    panels: list[Panel] = []
    numbers = count()
    root = by_prefix[""]
    waiting: list[tuple[int, int, PrefixRow, tuple[Panel, ...]]] = [
        (0, next(numbers), root, ())  # the number makes every entry comparable
    ]
    opened: dict[str, int] = {}
    while waiting and len(panels) < MAX_PANELS:
        _, _, row, trail = heappop(waiting)
        beneath = _shown_beneath(row, children)
        panel = Panel(len(panels), row, trail, tuple(_tiles(row, beneath)))
        opened[row.prefix] = panel.number
        panels.append(panel)
        shown = {tile.prefix for tile in panel.tiles}
        for child in beneath:
            if child.prefix in shown and children[child.prefix]:
                heappush(waiting, (-_weight(child.total), next(numbers), child, (*trail, panel)))
    return [_linked(panel, opened) for panel in panels]


def squarify(sizes: Sequence[float], aspect: float = ASPECT) -> list[Rectangle]:
    """Lay out rectangles whose areas are in proportion to sizes, as square as possible.

    The algorithm of Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).

    Args:
        sizes: Positive sizes in descending order.
        aspect: Width by height of the whole.

    Returns:
        A rectangle for each size, in per cent of the width and of the height of the whole.
    """
    total = sum(sizes)
    if not total:
        return []
    areas = [size * aspect / total for size in sizes]
    free = (0.0, 0.0, aspect, 1.0)
    places: list[Rectangle] = []
    start = 0
    while start < len(areas):
        side = max(min(free[2], free[3]), _HAIR)
        stop = start + 1
        while stop < len(areas) and _worst(areas[start : stop + 1], side) <= _worst(
            areas[start:stop], side
        ):
            stop += 1
        placed, free = _lay_out(areas[start:stop], free)
        places += placed
        start = stop
    return [
        Rectangle(
            100 * place.left / aspect, 100 * place.top, 100 * place.width / aspect,
            100 * place.height,
        )
        for place in places
    ]  # fmt: skip


def _worst(areas: Sequence[float], side: float) -> float:
    """The worst ratio of sides in a row of rectangles along a side."""
    thickness = sum(areas) / side
    return max(max(thickness**2 / area, area / thickness**2) for area in areas)


_Free = tuple[float, float, float, float]


def _lay_out(areas: Sequence[float], free: _Free) -> tuple[list[Rectangle], _Free]:
    """Fill the shorter side of the free rectangle; returns what is placed, and what stays free."""
    left, top, width, height = free
    is_wide = width >= height
    side, depth = (height, width) if is_wide else (width, height)
    whole = sum(areas)
    thickness = min(whole / max(side, _HAIR), depth)  # not beyond the edge by rounding
    places, at = [], 0.0
    for area in areas:
        length = side * area / whole
        if is_wide:
            places.append(Rectangle(left, top + at, thickness, length))
        else:
            places.append(Rectangle(left + at, top, length, thickness))
        at += length
    if is_wide:
        return places, (left + thickness, top, width - thickness, height)
    return places, (left, top + thickness, width, height - thickness)


def _shown_beneath(row: PrefixRow, children: dict[str, list[PrefixRow]]) -> list[PrefixRow]:
    """The prefixes whose tiles a panel has; none is beneath another."""
    beneath = [_only_child(child, children) for child in children[row.prefix]]
    whole = _weight(row.total)
    while len(beneath) < FEW_TILES:
        replaced = [
            (child, within)
            for child in beneath
            if _weight(child.total) >= LARGE_TILE * whole
            and (within := children.get(child.prefix, []))
            and sum(_weight(each.total) for each in within) >= COVERED * _weight(child.total)
        ]
        if not replaced:
            break
        child, within = max(replaced, key=lambda pair: _weight(pair[0].total))
        beneath = [each for each in beneath if each is not child]
        beneath += [_only_child(each, children) for each in within]
    return beneath


def _only_child(row: PrefixRow, children: dict[str, list[PrefixRow]]) -> PrefixRow:
    """The deepest prefix that holds all the objects of a prefix."""
    while True:
        beneath = children.get(row.prefix, [])
        if len(beneath) != 1 or beneath[0].total.objects != row.total.objects:
            return row
        row = beneath[0]


def _tiles(row: PrefixRow, beneath: Iterable[PrefixRow]) -> list[Tile]:
    """The tiles of a prefix, the largest first, in their places."""
    ranked = sorted(beneath, key=lambda child: (-_weight(child.total), child.prefix))
    shown = [child for child in ranked[:MAX_TILES] if _weight(child.total)]
    rest = Total(
        row.total.objects - sum(child.total.objects for child in shown),
        row.total.bytes - sum(child.total.bytes for child in shown),
    )
    name = "other objects" if shown else "objects"
    tiles = [_tile(row, child) for child in shown]
    if _weight(rest):
        tiles.append(Tile(name, None, rest, None, "", _NOWHERE))
    tiles.sort(key=lambda tile: -_weight(tile.total))
    places = squarify([float(_weight(tile.total)) for tile in tiles])
    return [replace(tile, place=place) for tile, place in zip(tiles, places, strict=True)]


def _tile(row: PrefixRow, child: PrefixRow) -> Tile:
    name = child.prefix[len(row.prefix) :]
    return Tile(name, child.prefix, child.total, child.bytes_change, child.storage_class, _NOWHERE)


def _weight(total: Total) -> int:
    """The size of a tile: bytes, and one for each object, so that empty objects are seen."""
    return total.bytes + total.objects


def _linked(panel: Panel, opened: dict[str, int]) -> Panel:
    tiles = tuple(
        replace(tile, panel=opened.get(tile.prefix)) if tile.prefix else tile
        for tile in panel.tiles
    )
    return replace(panel, tiles=tiles)
