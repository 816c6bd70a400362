"""What a reader of a release knows, and what it lets them work out.

Measures of a release are linked by near counts only, so that each is attacked on its own: by `warehouse.moves` first,
which settles most of it, and for the rest by `warehouse.attack`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import product

from warehouse.attack import ANY, Attack, Cell, Figure, Knowledge, Range, RowKey, Target, span
from warehouse.linked import FIGURES, THRESHOLD, Level, Row, Tables, protected
from warehouse.moves import Found, Moves
from warehouse.rates import share_range, size_band

#: What a witness pays for changing a row that is never told.
_NEVER_TOLD = 0.05


class Part:
    """Rows that links join, and the pairs of near counts that they have a part in: `across` with other parts.

    `elsewhere` says what the counts of these can be.
    """

    def __init__(
        self, tables: Tables, across: Sequence[tuple[Cell, Cell]], elsewhere: Callable[[Cell, bool], Range]
    ) -> None:
        self.tables = tables
        self._elsewhere = elsewhere
        self._targets = [*protected(tables), *across]
        blocks = [Moves(block, tables.totals, knowledge_of) for block in tables.blocks()]
        self._block = {row: block for block in blocks for row in block.keys}

    def exposed(self, levels: Mapping[RowKey, Level]) -> Iterator[Target]:
        """Those protected counts and differences that can be worked out."""
        left = [target for target in self._targets if not self._plainly_safe(target, levels)]
        if left:
            yield from self._attack.exposed(knowledge(self.tables, levels), left, THRESHOLD, self._elsewhere)

    def withstands(self, levels: Mapping[RowKey, Level]) -> bool:
        """Whether nothing can be worked out."""
        return next(self.exposed(levels), None) is None

    def range(self, levels: Mapping[RowKey, Level], cell: Cell, every: bool) -> Range:
        """The least and the most that a count can be: by moves alone, or by a search for `every` solution."""
        if every:
            return self._attack.range(knowledge(self.tables, levels), cell)
        count = self.tables[cell]
        block = self._block.get(cell[0])
        return (count, count) if block is None else self._found(block, levels).ranges.get(cell, (count, count))

    @cached_property
    def _attack(self) -> Attack:
        tables = self.tables
        counts = {cell: tables[cell] for cell in product((*tables.rows, *tables.earlier), FIGURES)}
        return Attack(counts, tables.sums, tables.held, _costs(tables))

    def _plainly_safe(self, target: Target, levels: Mapping[RowKey, Level]) -> bool:
        """Whether moves show it to be safe."""
        home = self._block.get(target[0][0])
        if all(self._block.get(row) is home for row, _ in target):
            return home is not None and target in self._found(home, levels).safe
        # Cells of two tables, or of a block and a total, move independently of each other.
        low, high = span(target, {cell: self._range(levels, cell) for cell in target})
        return high > THRESHOLD or low <= 0

    def _range(self, levels: Mapping[RowKey, Level], cell: Cell) -> Range:
        mine = cell[0] in self.tables.rows or cell[0] in self.tables.earlier
        return self.range(levels, cell, every=False) if mine else self._elsewhere(cell, False)

    def _found(self, block: Moves, levels: Mapping[RowKey, Level]) -> Found:
        rows, earlier = self.tables.rows, self.tables.earlier
        return block.found({key: levels[key] if key in rows else earlier[key][1] for key in block.keys})


def _costs(tables: Tables) -> dict[RowKey, float]:
    """A witness had better differ from the truth in rows that aren't told, and in the less important of the others."""
    costs = dict.fromkeys(tables.earlier, _NEVER_TOLD)
    for place, (key, row) in enumerate(tables.rows.items()):
        costs[key] = 2.0 - place / len(tables.rows) if "rate" in row.allows else _NEVER_TOLD
    return costs


def attacked(tables: Tables, levels: Mapping[RowKey, Level]) -> Iterator[Part]:
    """The parts, each with the near counts of those before it. The levels of a part may be set between two steps."""
    only = tables.parts()
    home = {key: number for number, part in enumerate(only) for key in (*part.rows, *part.earlier)}
    pairs = [(a, b) for a, b in tables.near_counts if home[a[0]] != home[b[0]]]
    parts: list[Part] = []

    @cache
    def elsewhere(cell: Cell, every: bool) -> Range:
        return parts[home[cell[0]]].range(levels, cell, every)

    for number, part in enumerate(only):
        across = [pair for pair in pairs if max(home[row] for row, _ in pair) == number]
        parts.append(Part(part, across, elsewhere))
        yield parts[-1]


def knowledge(tables: Tables, levels: Mapping[RowKey, Level]) -> Knowledge:
    """What a reader of the release, and of all before it, knows: our own attacker knows which cells are 0, too."""
    published = {**{key: (row, levels[key]) for key, row in tables.rows.items()}, **tables.earlier}
    each = [knowledge_of(key, row, level) for key, (row, level) in published.items()]
    return Knowledge(
        {cell: told for known in each for cell, told in known.ranges.items()},
        {row: share for known in each for row, share in known.shares.items()},
    )


def knowledge_of(key: RowKey, row: Row, level: Level) -> Knowledge:
    """What a reader knows of a row from the row itself."""
    ranges = {(key, figure): _told(row, level, figure) for figure in FIGURES}
    return Knowledge(ranges, {key: share_range(row.rate.share)} if level == "rate" and row.rate is not None else {})


def _told(row: Row, level: Level, figure: Figure) -> Range:
    """The least and the most that a count can be by what its own row says."""
    count = row[figure]
    if level == "counts" or (level == "total" and figure == "n"):
        return count, count
    if level == "rate":
        # A rate is of nobody late or of 11 at least, and of nobody in time or of 11 at least.
        return size_band(count) if figure == "n" else (THRESHOLD + 1, ANY) if count else (0, 0)
    # Zeros are shown, so that what is suppressed is 1 at least; but a 0 is hidden by its table, too, at times.
    return (1 if count else 0), ANY
