"""What the gate found. Row keys are held apart (`keys`, never in `repr`): they belong in `clinical` only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from expectations.errors import GateBlocked, GateBroken

if TYPE_CHECKING:
    from expectations.rules import Layer

Status = Literal["pass", "fail", "error"]


@dataclass(frozen=True)
class RuleResult:
    """One rule over one pull.

    `judged_rows` and `failing_rows` are counts. A rule passes while failing rows are at most its threshold's share.
    `keys` are the failing rows' keys in the order of `key_columns`, sorted; empty for info rules.
    `error` is the SQLSTATE and class of what went wrong, without the server's text, which may quote a value.
    """

    rule_id: str
    layer: Layer
    severity: str
    table: str
    status: Status
    judged_rows: int
    failing_rows: int
    threshold: float
    key_columns: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    error: str | None = None

    @property
    def share(self) -> float | None:
        """Share of the judged rows that fail; None when the rule judged none."""
        return self.failing_rows / self.judged_rows if self.judged_rows else None


@dataclass(frozen=True)
class GateReport:
    """The results of one layer's rules over one pull, in the order of the catalogue."""

    source: str
    pull_id: str
    layer: Layer
    catalogue_version: str
    results: tuple[RuleResult, ...]

    @property
    def blocked(self) -> bool:
        """True when the pull must not be loaded: a critical rule failed, or a rule could not be run."""
        return bool(self.broken) or any(r.status == "fail" and r.severity == "critical" for r in self.results)

    @property
    def failed(self) -> tuple[RuleResult, ...]:
        return tuple(result for result in self.results if result.status == "fail")

    @property
    def broken(self) -> tuple[RuleResult, ...]:
        return tuple(result for result in self.results if result.status == "error")

    def rows(self) -> list[dict[str, object]]:
        """The results as flat rows without row keys, fit for `ops` and logs."""
        return [
            {
                "source": self.source,
                "pull_id": self.pull_id,
                "layer": result.layer,
                "rule_id": result.rule_id,
                "severity": result.severity,
                "status": result.status,
                "judged_rows": result.judged_rows,
                "failing_rows": result.failing_rows,
                "threshold": result.threshold,
                "error": result.error,
                "catalogue_version": self.catalogue_version,
            }
            for result in self.results
        ]

    def failing_keys(self) -> list[dict[str, str]]:
        """One row for each failing row of a critical or warning rule, with its key: for `clinical` only."""
        return [
            {
                "source": self.source,
                "pull_id": self.pull_id,
                "rule_id": result.rule_id,
                "table": result.table,
                **dict(zip(result.key_columns, key, strict=True)),
            }
            for result in self.results
            for key in result.keys
        ]

    def raise_if_blocked(self) -> None:
        """Raises GateBroken or GateBlocked, naming rules and counts only."""
        if self.broken:
            names = ", ".join(f"{result.rule_id} ({result.error})" for result in self.broken)
            raise GateBroken(
                f"Rules could not be run: {names}",
                source=self.source,
                kept="the pull is staged, nothing of it is loaded",
                next_step="check that the database's schema is current (iess db upgrade); this is not a data problem",
            )
        critical = [result for result in self.failed if result.severity == "critical"]
        if critical:
            names = ", ".join(
                f"{result.rule_id} ({result.failing_rows} of {result.judged_rows} rows)" for result in critical
            )
            raise GateBlocked(
                f"Critical rules failed: {names}",
                source=self.source,
                kept="the pull is staged, nothing of it is loaded",
                next_step="look the rules up in docs/expectations.md; the failing keys are in clinical.gate_failure",
            )
