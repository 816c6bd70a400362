"""What could not be used, for those who mend it: listed by reason, shown with file and line, and replayed by pull.

A replay is `warehouse.load.load(..., replay=True)` after the pull was selected and mapped anew; what now passes is
loaded, and the ledger of the new attempt adds up by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import Engine, text

from warehouse.errors import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST = """
    clinical.quarantine q JOIN (
        SELECT source, pull_id, max(attempt) AS attempt FROM ops.pull GROUP BY source, pull_id
    ) last USING (source, pull_id, attempt)
"""


class Finding(NamedTuple):
    """One thing that could not be used. Resource ids are PHI: print them to those who may see `clinical` only."""

    source: str
    pull_id: str
    n: int
    stage: str
    file: str
    line: int
    resource_type: str
    resource_id: str
    infant: str | None
    reason: str
    path: str
    message: str


class ReasonCount(NamedTuple):
    """Findings of one reason in one pull."""

    source: str
    pull_id: str
    stage: str
    resource_type: str
    reason: str
    findings: int


def counts(engine: Engine, source: str | None = None) -> list[ReasonCount]:
    """Open findings (of each pull's last attempt) by reason, without ids; sorted."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT source, pull_id, stage, resource_type, reason, findings FROM ops.v_quarantine "
                "WHERE CAST(:source AS text) IS NULL OR source = :source ORDER BY 1, 2, 3, 4, 5"
            ),
            {"source": source},
        )
        return [ReasonCount(*row) for row in rows]


def findings(
    engine: Engine,
    source: str | None = None,
    *,
    pull_id: str | None = None,
    reason: str | None = None,
    limit: int | None = None,
) -> list[Finding]:
    """Open findings, newest pull first; `n` numbers them within a pull."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT {', '.join(Finding._fields)} FROM {_LAST} "  # noqa: S608 - our own names
                "WHERE (CAST(:source AS text) IS NULL OR source = :source) "
                "AND (CAST(:pull_id AS text) IS NULL OR pull_id = :pull_id) "
                "AND (CAST(:reason AS text) IS NULL OR reason = :reason) "
                "ORDER BY pull_id DESC, source, n LIMIT :limit"
            ),
            {"source": source, "pull_id": pull_id, "reason": reason, "limit": limit},
        )
        return [Finding(*row) for row in rows]


def pulls_to_replay(engine: Engine, source: str, *, reasons: Sequence[str] | None = None) -> list[str]:
    """Ids of the pulls with open findings (of these reasons), oldest first: select, map and load each again."""
    with translated(source), engine.connect() as connection:
        rows = connection.execute(
            text(
                f"SELECT DISTINCT pull_id FROM {_LAST} WHERE source = :source "  # noqa: S608 - our own names
                "AND (CAST(:reasons AS text[]) IS NULL OR reason = ANY(:reasons)) ORDER BY pull_id"
            ),
            {"source": source, "reasons": None if reasons is None else list(reasons)},
        )
        return list(rows.scalars())
