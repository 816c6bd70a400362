"""From timelines to measured infants: who counts in a measure, how long they waited, whether that was late.

Population: confirmed IESS, looking backward from the diagnosis (statistics.md 1.0 (b)). Cohorts by week of first
contact are right-truncated - the fast ones are diagnosed first - and would make a true odds ratio of 2 look like 1.4
after two weeks. An infant counts as *matured* when both diagnosed and `threshold_days` past the start of the clock,
plus the time that a source's records need to arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from fhir_mapping.contract import COLUMNS

if TYPE_CHECKING:
    from surveillance.measures.registry import Measure
    from surveillance.settings import SurveillanceSettings

_DATES = [column.name for column in COLUMNS if column.type == "date"]
#: Milestones that become known only when they happen; birth, onset and the censor date are properties of the record.
_MILESTONES = [name for name in _DATES if name not in ("birth_date", "onset_low", "onset_high", "censored_on")]
_GROUPS = ["race_ethnicity", "bipoc", "payer", "language", "interpreter", "sex"]

CENSORED, EVENT, COMPETING = 0, 1, 2
#: What `measured` gives of each infant.
MEASURED_COLUMNS = [
    *("source", "infant", "race_ethnicity", "bipoc", "payer", "language", "language_group", "interpreter", "sex"),
    *("prior_neurology", "left_truncated", "age_days", "diagnosis"),
    *("days", "kind", "late", "index_on", "matured_on", "matured"),
]


def language_group(language: str) -> str:
    """`en`, `not_en` or `unknown`."""
    return language if language in ("en", "unknown") else "not_en"


def as_known(timelines: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """The timelines with every milestone after `as_of` taken out, dates as datetime64, groups never empty."""
    known = timelines.copy()
    for name in _DATES:
        known[name] = pd.to_datetime(known[name])
    for name in _MILESTONES:
        known[name] = known[name].where(known[name] <= pd.Timestamp(as_of))
    for name in _GROUPS:
        known[name] = known[name].astype(object).where(known[name].notna(), "unknown")
    known["language_group"] = known["language"].map(language_group)
    flags = known["flags"].astype(object).where(known["flags"].notna(), "")
    known["left_truncated"] = flags.str.contains("left_truncated", regex=False).astype(bool)
    known["prior_neurology"] = (known["pathway"] == "pre_existing_neurology").map({True: "yes", False: "no"})
    return known.sort_values(["source", "infant"], kind="stable").reset_index(drop=True)


def data_through(timelines: pd.DataFrame) -> dict[str, date]:
    """Last day on which each source is known to have reported anything, for sources without a better watermark."""
    if timelines.empty:
        return {}
    last = timelines[[*_MILESTONES, "censored_on"]].apply(pd.to_datetime).max(axis=1)
    return {str(source): day.date() for source, day in last.groupby(timelines["source"]).max().items() if pd.notna(day)}


def measured(
    known: pd.DataFrame,
    measure: Measure,
    *,
    as_of: date,
    settings: SurveillanceSettings,
    through: Mapping[str, date] | None = None,
) -> pd.DataFrame:
    """One row an infant of the measure's population, with its outcome as known on `as_of`: `MEASURED_COLUMNS`.

    `known` comes from `as_known`. Of the outcome: `days` (exact whole days waited, missing where only an interval is
    known), `kind` (0 censored, 1 event, 2 competing), `late` (yes, no, indeterminate, pending, not_applicable,
    missing), `index_on`, `matured_on`, `matured`. `through` bounds maturity by what each source has reported.
    """
    eligible = known["cohort"].isin(settings.cohorts) & known["diagnosis"].notna()
    eligible &= ~known["pathway"].isin(measure.exclude_pathways)
    infants = known[eligible].reset_index(drop=True)
    judged = _waits(infants, measure, as_of) if measure.kind == "interval" else _shares(infants, measure)
    infants = pd.concat([infants, judged], axis=1)
    infants = infants[infants["late"] != "not_started"].reset_index(drop=True)
    lag = pd.to_timedelta(infants["source"].map(settings.lag).astype(float), unit="D")
    wait = pd.Timedelta(days=measure.threshold_days if measure.kind == "interval" else 0)
    decided_on = pd.concat([infants["index_on"] + wait, infants["diagnosis"]], axis=1).max(axis=1)
    infants["matured_on"] = decided_on + lag
    reported = {source: pd.Timestamp(min(day, as_of)) for source, day in (through or {}).items()}
    limit = pd.to_datetime(infants["source"].map(reported)).fillna(pd.Timestamp(as_of))
    infants["matured"] = infants["index_on"].notna() & (infants["matured_on"] <= limit)
    return infants[MEASURED_COLUMNS]


def _waits(infants: pd.DataFrame, measure: Measure, as_of: date) -> pd.DataFrame:
    wait, today = measure.wait, pd.Timestamp(as_of)
    onset = wait.start == "onset"
    start_low = infants["onset_low" if onset else wait.start]
    start_high = infants["onset_high" if onset else wait.start]
    status = infants[f"status_{wait.name}"]
    stop = infants[wait.stop]
    censored_on = infants["censored_on"].fillna(today)
    end = censored_on.where(censored_on <= today, today)
    waited = (end - start_high).dt.days.astype(float)
    event = (status == "event") & stop.notna()
    competing = (status == "competing") & (infants["censored_on"] <= today)
    low = pd.to_numeric(infants[f"days_{wait.name}_low"]).astype(float).where(event, waited)
    high = (
        pd.to_numeric(infants[f"days_{wait.name}_high"])
        .astype(float)
        .where(event, (end - start_low).dt.days.astype(float))
    )
    late = pd.Series("pending", index=infants.index, dtype=object)
    late[~event & ~competing & (low > measure.threshold_days)] = "yes"
    late[competing] = "not_applicable"
    late[competing & (low > measure.threshold_days)] = "yes"
    late[event] = "indeterminate"
    late[event & (high <= measure.threshold_days)] = "no"
    late[event & (low > measure.threshold_days)] = "yes"
    absent = (status == "missing") | start_low.isna() | low.isna()
    late[absent] = "missing"
    late[status == "not_applicable"] = "not_applicable"
    late[(start_low > today) | (~event & (low < 0) & ~absent)] = "not_started"
    counted = ~late.isin(["missing", "not_started"]) & (status != "not_applicable")
    return pd.DataFrame(
        {
            # An interval-valued onset gives no single day; the proportion still uses what it decides.
            "days": low.where(counted & (low == high)),
            "kind": event.astype(int) + 2 * (competing & ~event).astype(int),
            "late": late,
            "index_on": start_high.where(counted),
        }
    )


def _shares(infants: pd.DataFrame, measure: Measure) -> pd.DataFrame:
    value = infants[str(measure.column)].astype(object)
    value = value.where(value.notna(), "")
    favourable = value.isin(measure.favourable) if measure.favourable else ~value.isin(measure.adverse)
    index_on = infants[str(measure.index)]
    late = favourable.map({True: "no", False: "yes"}).astype(object)
    late[(value == "") | index_on.isna()] = "missing"
    return pd.DataFrame(
        {
            "days": pd.Series(float("nan"), index=infants.index),
            "kind": 0,
            "late": late,
            "index_on": index_on.where(late != "missing"),
        }
    )


def last_complete_week(as_of: date) -> date:
    """Monday of the last week that is over on `as_of` (a Sunday closes its week)."""
    monday = as_of - timedelta(days=as_of.weekday())
    return monday if as_of.weekday() == 6 else monday - timedelta(days=7)
