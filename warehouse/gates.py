"""Results of the expectations, recorded in a transaction of their own: also those that block a load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Engine, text

from warehouse.copying import copy_rows
from warehouse.errors import translated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expectations.report import RuleResult

_RESULT = (
    "layer",
    "rule_id",
    "severity",
    "status",
    "judged_rows",
    "failing_rows",
    "threshold",
    "error",
)


def record(
    engine: Engine, *, source: str, pull_id: str, results: Sequence[RuleResult], catalogue_version: str | None = None
) -> None:
    """Record what the gate said of a pull: counts in `ops.gate_result`, failing rows' keys in `clinical.gate_failure`.

    What was recorded of the same pull and layers is replaced.
    """
    scope = {"source": source, "pull_id": pull_id}
    layers = sorted({result.layer for result in results})
    with translated(source), engine.begin() as connection:
        for table in ("ops.gate_result", "clinical.gate_failure"):
            connection.execute(
                text(f"DELETE FROM {table} WHERE source = :source AND pull_id = :pull_id AND layer = ANY(:layers)"),  # noqa: S608
                {**scope, "layers": layers},
            )
        copy_rows(
            connection,
            "ops.gate_result",
            ("source", "pull_id", "catalogue_version", *_RESULT),
            ((source, pull_id, catalogue_version, *(getattr(item, name) for name in _RESULT)) for item in results),
        )
        # Not by COPY, which PostgreSQL refuses on a table with row-level security.
        failures = [
            {**scope, "layer": result.layer, "rule_id": result.rule_id, "n": n, "key": list(found)}
            for result in results
            for n, found in enumerate(result.keys, 1)
        ]
        if failures:
            connection.execute(
                text(
                    "INSERT INTO clinical.gate_failure (source, pull_id, layer, rule_id, n, key) "
                    "VALUES (:source, :pull_id, :layer, :rule_id, :n, :key)"
                ),
                failures,
            )
