"""The ledger: every line received is accounted for once, by resource type."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fhir_mapping.model import LedgerLine


@dataclass
class Tally:
    """Counts by resource type, gathered while selecting; `close` makes the ledger of them.

    `rows` are resources that could be told apart, `different` how many of them differ by (type, id).
    """

    rows: Counter[str] = field(default_factory=Counter)
    different: Counter[str] = field(default_factory=Counter)
    in_scope: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    never_in_scope: Counter[str] = field(default_factory=Counter)  # types that are out of scope, not told apart

    def close(self) -> dict[str, LedgerLine]:
        """The ledger, sorted by type. received = in_scope + out_of_scope + superseded + deleted + quarantined."""
        kinds = sorted({*self.rows, *self.quarantined, *self.never_in_scope, *self.deleted})
        lines = {kind: self._line(kind) for kind in kinds}
        return {kind: line for kind, line in lines.items() if line.received}

    def _line(self, kind: str) -> LedgerLine:
        superseded = self.rows[kind] - self.different[kind]
        others = self.different[kind] - self.in_scope[kind] - self.deleted[kind]
        return LedgerLine(
            received=self.rows[kind] + self.never_in_scope[kind] + self.quarantined[kind],
            in_scope=self.in_scope[kind],
            out_of_scope=others + self.never_in_scope[kind],
            superseded=superseded,
            deleted=self.deleted[kind],
            quarantined=self.quarantined[kind],
        )


def balances(line: LedgerLine) -> bool:
    """The law of conservation."""
    parts = (line.in_scope, line.out_of_scope, line.superseded, line.deleted, line.quarantined)
    return min(parts) >= 0 and line.received == sum(parts)
