"""Gates before an alert opens: what could make a difference out of data quality. A failed gate holds the alert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any, Literal

import pandas as pd

from surveillance.estimates.stratified import conditional_odds_ratio
from surveillance.estimates.unknown import difference_bounds, plausible_range
from surveillance.evidence import Facts, Table, pair, strata_tables, window_of
from surveillance.measures.registry import UNKNOWN, Chart
from surveillance.message import DIMENSION_NAMES, group_name
from surveillance.silence import SILENT_DAYS, silent_sources

Verdict = Literal["passed", "failed", "not_evaluable"]
#: Points by which the known share of a dimension may fall against the year before.
COMPLETENESS_DROP = 0.10
#: Share of the infants behind a signal who may have been judged sooner than records take.
TOO_SOON = 0.05
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


def _who(chart: Chart, value: str) -> str:
    return group_name(chart.dimension, value)


def load_complete(through: Mapping[str, date], on: date, expected: Sequence[str] = ()) -> GateOutcome:
    """Every source, and every one that is `expected`, had reported up to two weeks before `on`."""
    silent = silent_sources(through, expected, on)
    if not through and not silent:
        return GateOutcome("load_complete", "not_evaluable", "no source has reported a data-through date")
    if silent:
        return GateOutcome(
            "load_complete", "failed", f"silent for over {SILENT_DAYS} days by {on}: {', '.join(silent)}"
        )
    return GateOutcome(
        "load_complete", "passed", f"all {len(through)} sources reported in the {SILENT_DAYS} days up to {on}"
    )


def completeness(chart: Chart, frozen: pd.DataFrame, week: date) -> GateOutcome:
    """The share whose group is known hasn't fallen by more than ten points, last 13 weeks against the 52 before."""
    recent = frozen[(frozen["week"] > week - timedelta(weeks=13)) & (frozen["week"] <= week)]
    before = frozen[(frozen["week"] > week - timedelta(weeks=65)) & (frozen["week"] <= week - timedelta(weeks=13))]
    if recent.empty or before.empty:
        return GateOutcome("completeness", "not_evaluable", "less than 13 weeks of data to compare")
    now, then = (float((~part[chart.dimension].isin(UNKNOWN)).mean()) for part in (recent, before))
    verdict: Verdict = "failed" if then - now > COMPLETENESS_DROP else "passed"
    what = DIMENSION_NAMES.get(chart.dimension, chart.dimension)
    return GateOutcome("completeness", verdict, f"{what} known for {now:.0%}, {then:.0%} in the year before")


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
            return GateOutcome("freeze_error", "not_evaluable", f"no {_who(chart, value)}")
        shares[value] = float((wrong & members).sum() / members.sum())
    difference = abs(shares[chart.group] - shares[chart.reference])
    verdict: Verdict = "failed" if difference > FREEZE_ERROR_DIFFERENCE else "passed"
    detail = ", ".join(f"{share:.1%} of {_who(chart, value)}" for value, share in shares.items())
    return GateOutcome("freeze_error", verdict, f"outcomes corrected after the freeze: {detail}")


def lag_difference(
    chart: Chart, lags: Mapping[str, tuple[float, int]], compared: pd.DataFrame, allowed: Sequence[int]
) -> GateOutcome:
    """The infants behind the signal were judged no sooner than the slower group's records take (95th percentile).

    `lags` maps a group to that percentile, in days, and the number of records it rests on; `allowed` holds the days
    that each infant of `compared` was given between the outcome and its judgement.
    """
    if chart.group not in lags or chart.reference not in lags:
        return GateOutcome("lag_difference", "not_evaluable", "recording lags of both groups aren't known yet")
    group, reference = lags[chart.group][0], lags[chart.reference][0]
    soon = sum(days < max(group, reference) for days in allowed)
    verdict: Verdict = "failed" if soon > TOO_SOON * len(compared) else "passed"
    detail = f"95% recorded within {group:.0f} days ({_who(chart, chart.group)}) and {reference:.0f} days "
    detail += f"({_who(chart, chart.reference)})"
    return GateOutcome("lag_difference", verdict, f"{detail}; {soon} of {len(compared)} infants were judged sooner")


def leave_one_site_out(chart: Chart, compared: pd.DataFrame) -> GateOutcome:
    """The difference points the same way with any one site left out."""
    sites = sorted(set(compared["source"]))
    if len(sites) < 2:
        return GateOutcome("leave_one_site_out", "not_evaluable", "one site only")
    against = [site for site in sites if not _adverse(strata_tables(compared[compared["source"] != site], chart))]
    if against:
        return GateOutcome("leave_one_site_out", "failed", f"the difference rests on {', '.join(against)} alone")
    return GateOutcome("leave_one_site_out", "passed", "the same way round with any one site left out")


def _adverse(tables: Sequence[Table]) -> bool:
    """Whether the odds ratio is above 1; infinity is, and a table that says nothing is not."""
    ratio = conditional_odds_ratio(tables)
    return ratio.value > 1.0 if ratio.value is not None else "no odds ratio is finite" in str(ratio.reason)


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
    """Days waited and the share over seven days point the same way, whichever of the two gave the signal."""
    if facts.hazard_evidence is None:
        return GateOutcome("time_agrees", "not_evaluable", "days waited can't be compared")
    days = "" if facts.extra_days is None else f", {facts.extra_days:+.1f} days in the first {facts.horizon}"
    detail = f"evidence from days waited {facts.hazard_evidence:.2g}{days}"
    if facts.version == "time-to-event":
        against = (facts.risk_difference or 0.0) <= 0
        detail += f"; share late {facts.risk_difference or 0.0:+.0%}"
    else:
        against = facts.hazard_evidence < 1.0 and (facts.extra_days or 0.0) <= 0
    return GateOutcome("time_agrees", "failed" if against else "passed", detail)


@dataclass(frozen=True)
class Quality:
    """What the gates look at beside the figures of a signal."""

    frozen: pd.DataFrame  # the measure's infants as they entered the charts
    revised: pd.DataFrame  # those whose outcome was corrected since: source, infant
    measured: pd.DataFrame  # the measure's infants as known now
    lags: Mapping[str, tuple[float, int]]  # group -> 95th percentile of the recording lag in days, records
    through: Mapping[str, date]
    as_of: date
    lag: Callable[[str], int]  # source -> days until its outcomes are judged, as they are now
    expected: Sequence[str] = ()  # sources that should send something


def evaluate(chart: Chart, facts: Facts, quality: Quality) -> list[GateOutcome]:
    """All gates of one signal."""
    since, week = date.fromisoformat(facts.since), date.fromisoformat(facts.week)
    compared = pair(window_of(quality.frozen, since, week), chart)
    # As of the signal's own week: what a source did since says nothing of the infants behind it.
    ended = min(quality.as_of, week + timedelta(days=6))
    return [
        load_complete(quality.through, ended, quality.expected),
        completeness(chart, quality.frozen, week),
        lag_difference(chart, quality.lags, compared, allowed_days(compared, quality.measured, quality.lag)),
        freeze_error(chart, quality.frozen, quality.revised),
        leave_one_site_out(chart, compared),
        unknown_range(facts),
        time_agrees(facts),
    ]


def allowed_days(compared: pd.DataFrame, measured: pd.DataFrame, lag: Callable[[str], int]) -> list[int]:
    """Days that each infant's records were given before the outcome was frozen.

    An outcome that would mature later now, with a longer lag learned since, was given that much less.
    """
    keys = ["source", "infant"]
    joined = compared[[*keys, "matured_on"]].merge(measured[[*keys, "matured_on"]], on=keys, suffixes=("", "_now"))
    joined = joined[joined["matured_on_now"].notna()]
    sooner = (pd.to_datetime(joined["matured_on_now"]) - pd.to_datetime(joined["matured_on"])).dt.days
    return [lag(source) - max(0, int(days)) for source, days in zip(joined["source"], sooner, strict=True)]
