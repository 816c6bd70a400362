"""What the gate said is recorded before it is obeyed: also a verdict that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.gates import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from expectations.report import GateReport


def record_all(engine: Engine, reports: Sequence[GateReport]) -> None:
    """Record each layer's results, then raise `GateBlocked` or `GateBroken` when one of them blocks."""
    for report in reports:
        record(
            engine,
            source=report.source,
            pull_id=report.pull_id,
            results=report.results,
            catalogue_version=report.catalogue_version,
        )
    for report in reports:
        report.raise_if_blocked()
