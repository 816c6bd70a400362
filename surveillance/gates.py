"""Gates before an alert opens: what could make a difference out of data quality. A failed gate holds the alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from surveillance.estimates.unknown import difference_bounds, plausible_range
from surveillance.evidence import Facts, odds_ratio_without
from surveillance.measures.registry import UNKNOWN, Chart

if TYPE_CHECKING:
    from surveillance.charts import ChartRow

Verdict = Literal["passed", "failed", "not_evaluable"]
#: A source that has reported nothing for longer is silent.
SILENT_DAYS = 14
#: Points by which the known share of a dimension may fall against the year before.
COMPLETENESS_DROP = 0.10
#: Points by which the freeze error may differ between the groups (statistics.md 1.8: 2 to 3).
FREEZE_ERROR_DIFFERENCE = 0.03


@dataclass(frozen=True)
class GateOutcome:
    """One gate's verdict, with figures in words."""

    gate: str
    verdict: Verdict
    detail: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def load_complete(through: Mapping[str, date], as_of: date) -> GateOutcome:
    """Every source has reported within the last two weeks."""
    silent = sorted(source for source, day in through.items() if (as_of - day).days > SILENT_DAYS)
    if not through:
        return GateOutcome("load_complete", "not_evaluable", "no source has reported a data-through date")
    if silent:
        return GateOutcome("load_complete", "failed", f"silent for over {SILENT_DAYS} days: {', '.join(silent)}")
    return GateOutcome("load_complete", "passed", f"all {len(through)} sources reported in the last {SILENT_DAYS} days")


def completeness(chart: Chart, frozen: pd.DataFrame, week: date) -> GateOutcome:
    """The share whose group is known hasn't fallen by more than ten points, last 13 weeks against the 52 before."""
    recent = frozen[(frozen["week"] > week - timedelta(weeks=13)) & (frozen["week"] <= week)]
    before = frozen[(frozen["week"] > week - timedelta(weeks=65)) & (frozen["week"] <= week - timedelta(weeks=13))]
    if recent.empty or before.empty:
        return GateOutcome("completeness", "not_evaluable", "less than 13 weeks of data to compare")
    now, then = (float((~part[chart.dimension].isin(UNKNOWN)).mean()) for part in (recent, before))
    verdict: Verdict = "failed" if then - now > COMPLETENESS_DROP else "passed"
    return GateOutcome("completeness", verdict, f"{chart.dimension} known in {now:.0%}, {then:.0%} in the year before")


def freeze_error(chart: Chart, frozen: pd.DataFrame, revised: pd.DataFrame) -> GateOutcome:
    """Outcomes corrected after the freeze are about as many in the group as in the reference."""
    keys = set(zip(revised["source"], revised["infant"], strict=True))
    wrong = pd.Series(
        [key in keys for key in zip(frozen["source"], frozen["infant"], strict=True)], index=frozen.index, dtype=bool
    )
    shares = {}
    for value in (chart.group, chart.reference):
        members = frozen[chart.dimension] == value
        if not members.any():
            return GateOutcome("freeze_error", "not_evaluable", f"nobody in {value}")
        shares[value] = float((wrong & members).sum() / members.sum())
    difference = abs(shares[chart.group] - shares[chart.reference])
    verdict: Verdict = "failed" if difference > FREEZE_ERROR_DIFFERENCE else "passed"
    detail = ", ".join(f"{share:.1%} of {value}" for value, share in shares.items())
    return GateOutcome("freeze_error", verdict, f"outcomes corrected after the freeze: {detail}")


def lag_difference(chart: Chart, lags: Mapping[str, tuple[float, int]], allowed: int) -> GateOutcome:
    """The slower group's recording lag (95th percentile, days) is within what the maturity allows for.

    `lags` maps a group to that percentile and the number of records it rests on.
    """
    if chart.group not in lags or chart.reference not in lags:
        return GateOutcome("lag_difference", "not_evaluable", "recording lags of both groups aren't known yet")
    group, reference = lags[chart.group][0], lags[chart.reference][0]
    verdict: Verdict = "failed" if max(group, reference) > allowed else "passed"
    detail = f"95% recorded within {group:.0f} days ({chart.group}) and {reference:.0f} days ({chart.reference})"
    return GateOutcome("lag_difference", verdict, f"{detail}; outcomes are judged after {allowed} more days")


def leave_one_site_out(facts: Facts, rows: Sequence[ChartRow]) -> GateOutcome:
    """The difference points the same way with any one site left out."""
    if len(facts.sites) < 2:
        return GateOutcome("leave_one_site_out", "not_evaluable", "one site only")
    upto = [row for row in rows if row.week.isoformat() <= facts.week]
    ratios = {site: odds_ratio_without(upto, date.fromisoformat(facts.since), site) for site in facts.sites}
    # An infinite odds ratio has no value and is the same way round; a table that says nothing has neither.
    against = sorted(
        site
        for site, ratio in ratios.items()
        if (ratio.value is None and "finite" not in str(ratio.reason)) or (ratio.value or 2.0) <= 1.0
    )
    if against:
        return GateOutcome("leave_one_site_out", "failed", f"the difference rests on {', '.join(against)} alone")
    return GateOutcome("leave_one_site_out", "passed", "the same way round with any one site left out")


def unknown_range(facts: Facts) -> GateOutcome:
    """The difference stays adverse when the infants of unknown group are shared out as the known are."""
    if facts.unknown == 0:
        return GateOutcome("unknown_range", "passed", "no infant of unknown group")
    bounds = difference_bounds(facts.table, facts.unknown, facts.unknown_late)
    likely = plausible_range(facts.table, facts.unknown, facts.unknown_late)
    if bounds is None or likely is None:
        return GateOutcome("unknown_range", "not_evaluable", "no comparison")
    verdict: Verdict = "passed" if likely[0] > 0 else "failed"
    detail = (
        f"difference between {likely[0]:+.0%} and {likely[1]:+.0%} if the {facts.unknown} of unknown group are like"
    )
    extremes = f"at the extremes {bounds[0].difference:+.0%} to {bounds[1].difference:+.0%}"
    return GateOutcome("unknown_range", verdict, f"{detail} the others; {extremes}")


def time_agrees(facts: Facts) -> GateOutcome:
    """The days waited point the same way as the share over seven days: the time-to-event version agrees in sign."""
    if facts.hazard_evidence is None:
        return GateOutcome("time_agrees", "not_evaluable", "days waited can't be compared")
    against = facts.hazard_evidence < 1.0 and (facts.extra_days or 0.0) <= 0
    days = "" if facts.extra_days is None else f", {facts.extra_days:+.1f} days in the first {facts.horizon}"
    detail = f"evidence from days waited {facts.hazard_evidence:.2g}{days}"
    return GateOutcome("time_agrees", "failed" if against else "passed", detail)


def evaluate(
    chart: Chart,
    facts: Facts,
    rows: Sequence[ChartRow],
    frozen: pd.DataFrame,
    revised: pd.DataFrame,
    *,
    through: Mapping[str, date],
    as_of: date,
    group_lags: Mapping[str, tuple[float, int]],
    allowed_lag: int,
) -> list[GateOutcome]:
    """All gates of one signal."""
    return [
        load_complete(through, as_of),
        completeness(chart, frozen, date.fromisoformat(facts.week)),
        lag_difference(chart, group_lags, allowed_lag),
        freeze_error(chart, frozen, revised),
        leave_one_site_out(facts, rows),
        unknown_range(facts),
        time_agrees(facts),
    ]
