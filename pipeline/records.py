"""What a step returns: ids and counts, never rows, so that an XCom can hold it and `--json` can print it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: Where a person takes an acknowledged alert; acknowledging and resolving are steps of their own.
AlertStep = Literal["investigating", "confirmed", "refuted", "action", "monitoring"]
#: Why an alert is closed.
ResolutionKind = Literal["improved", "chance", "data-problem", "explained", "other"]


@dataclass(frozen=True)
class NextPull:
    """Under which id a source is pulled, and the watermark (instant of its server's clock) that it starts from."""

    pull_id: str
    since: str | None


@dataclass(frozen=True)
class Pulled:
    """One landed pull. `counts`: resources received, by type."""

    source: str
    pull_id: str
    kind: str
    since: str | None
    transaction_time: str
    counts: dict[str, int]
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loaded: bool = False  # the warehouse holds it already


@dataclass(frozen=True)
class Selected:
    """What of a pull concerns the cohort."""

    source: str
    pull_id: str
    infants: int
    joined: int
    resources: int
    quarantined: int


@dataclass(frozen=True)
class Mapped:
    """What mapping made of the infants that a pull touched."""

    source: str
    pull_id: str
    infants: int
    timelines: int
    excluded: dict[str, int]
    nonconformant: int
    quarantined: int


@dataclass(frozen=True)
class Gated:
    """What the gate let pass. `failed`: id of a rule that is not critical -> failing rows."""

    source: str
    pull_id: str
    rules: int
    failed: dict[str, int]


@dataclass(frozen=True)
class LedgerEntry:
    """The conservation law of one resource type: received is the sum of the rest."""

    resource_type: str
    received: int
    loaded: int
    unchanged: int
    superseded: int
    deleted: int
    out_of_scope: int
    quarantined: int


@dataclass(frozen=True)
class Loaded:
    """One pull in the warehouse, with its ledger."""

    source: str
    pull_id: str
    ledger: list[LedgerEntry]
    timelines_opened: int
    timelines_closed: int
    warnings: dict[str, int] = field(default_factory=dict)  # gate rules of severity warning -> failing rows


@dataclass(frozen=True)
class DelayByGroup:
    """One line of the table of delays: a measure in one group."""

    measure: str
    dimension: str
    group: str
    infants: int
    late: int
    share_late: float | None
    low: float | None
    high: float | None
    median_days: float | None


@dataclass(frozen=True)
class Weekly:
    """One weekly run."""

    run_id: str
    as_of: str
    weeks: int
    charts: int
    alerting_charts: int  # of them; the others support
    signals: int
    delays: list[DelayByGroup]
    alerts: list[str]  # the messages, as sent
    report: str | None
