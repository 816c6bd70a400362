"""From timelines to measured infants: who counts in a measure, how long they waited, whether that was late.

Population: confirmed IESS, looking backward from the diagnosis (statistics.md 1.0 (b)). Cohorts by week of first
contact are right-truncated - the fast ones are diagnosed first - and would make a true odds ratio of 2 look like 1.4
after two weeks. An infant counts as *matured* when both diagnosed and `threshold_days` past the start of the clock,
plus the time that a source's records need to arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fhir_mapping.contract import COLUMNS
from surveillance.measures.dimensions import DIMENSIONS, DIMENSIONS_BY_NAME, FURTHER_DIMENSIONS, PAIRS, UNKNOWN

if TYPE_CHECKING:
    from surveillance.measures.definitions import Measure
    from surveillance.settings import SurveillanceSettings

_DATES = [column.name for column in COLUMNS if column.type == "date"]
#: Milestones that become known only when they happen; birth, onset and the censor date are properties of the record.
_MILESTONES = [name for name in _DATES if name not in ("birth_date", "onset_low", "onset_high", "censored_on")]
_GROUPS = ["race_ethnicity", "bipoc", "payer", "language", "interpreter", "sex"]
#: Attributes of the mapping; a warehouse or mapping that doesn't give one leaves it unknown for everybody.
_ATTRIBUTES = ["spd15", "caregiver_race_ethnicity", "caregiver_bipoc", "deprivation_quintile"]

CENSORED, EVENT, COMPETING = 0, 1, 2
#: Not under observation only from a later day on: at risk from the start of the clock.
FROM_THE_START = -1.0
#: What `measured` gives of each infant.
MEASURED_COLUMNS = [
    *("source", "infant", "language", *DIMENSIONS[:-1], *FURTHER_DIMENSIONS, *PAIRS),
    *(
        "prior_neurology",
        "left_truncated",
        "first_visit_unobserved",
        "age_days",
        "preterm",
        "etiology_class",
        "diagnosis",
    ),
    *("days", "entry", "kind", "late", "index_on", "matured_on", "matured"),
]
#: Completed weeks at birth below which each class of prematurity ends (WHO, Born Too Soon, 2012).
_PREMATURITY = ((28, "extremely_preterm"), (32, "very_preterm"), (37, "moderate_to_late_preterm"))
NO_PRETERM_CODE = "no_preterm_code"


def language_group(language: str) -> str:
    """`en`, `not_en` or `unknown`."""
    return language if language in ("en", "unknown") else "not_en"


def as_known(timelines: pd.DataFrame, as_of: date) -> pd.DataFrame:
    """The timelines with every milestone after `as_of` taken out, dates as datetime64, groups never empty.

    Derived strata are added: `language_group`, `prematurity`, pairs of dimensions, and the covariates of clinical need.
    """
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
    known["first_visit_unobserved"] = _first_visit_unobserved(known, flags)
    known["prior_neurology"] = (known["pathway"] == "pre_existing_neurology").map({True: "yes", False: "no"})
    known = _with_attributes(known)
    for pair in PAIRS:
        first, second = (known[part].astype(str) for part in DIMENSIONS_BY_NAME[pair].parts)
        both = first + "+" + second
        known[pair] = both.where(~first.isin(UNKNOWN) & ~second.isin(UNKNOWN), "unknown")
    return known.sort_values(["source", "infant"], kind="stable").reset_index(drop=True)


def _first_visit_unobserved(known: pd.DataFrame, flags: pd.Series[Any]) -> pd.Series[bool]:
    """Whose first provider these records don't hold: transferred in, or first seen here by the neurologist.

    Without a visit before it, the visit with the diagnosis stands for the first provider's (clinical.md, ruling 6). At
    neurology it would make a wait of 0 days of an unknown one; in an emergency department it may well be the first.
    """
    at_neurology = known["first_provider"].notna() & (known["first_provider"] == known["neurology"])
    at_neurology &= known["pathway"] != "ed_inpatient"
    none_before = flags.str.contains("no_prodromal_visit", regex=False).astype(bool)
    return (known["left_truncated"] | (none_before & at_neurology)).astype(bool)


def _with_attributes(known: pd.DataFrame) -> pd.DataFrame:
    """Strata and covariates from the mapping's attributes."""
    for name in _ATTRIBUTES:
        values = _attribute(known, name)
        known[name] = values.map(_text, na_action="ignore").astype(object).where(values.notna(), "unknown")
    weeks = pd.to_numeric(_attribute(known, "gestational_weeks"), errors="coerce").to_numpy(float, na_value=np.nan)
    known["prematurity"] = pd.Series([_prematurity(one) for one in weeks], index=known.index, dtype=object)
    known["preterm"] = known["prematurity"] != NO_PRETERM_CODE
    etiology = _attribute(known, "etiology")
    known["etiology_class"] = etiology.map(_etiology_class).astype(object)
    return known


def _attribute(known: pd.DataFrame, name: str) -> pd.Series[Any]:
    return known[name] if name in known.columns else pd.Series(None, index=known.index, dtype=object)


def _text(value: object) -> str:
    """A quintile comes as 1, 1.0 or "1"."""
    return str(int(value)) if isinstance(value, float) else str(value)


def _prematurity(weeks: float) -> str:
    return next((name for below, name in _PREMATURITY if weeks < below), NO_PRETERM_CODE)


def _etiology_class(etiology: object) -> str:
    """`tsc` (often watched and treated before spasms), `other`, or `none` on record."""
    if not isinstance(etiology, str) or not etiology:
        return "none"
    return "tsc" if "tsc" in etiology.split("+") else "other"


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
    known), `entry` (day of the wait from which the infant was under observation; -1: from its start), `kind` (0
    censored, 1 event, 2 competing), `late` (yes, no, indeterminate, pending, not_applicable, missing, excluded),
    `index_on`, `matured_on`, `matured`. `through` bounds maturity by what each source has reported.
    """
    eligible = known["cohort"].isin(settings.cohorts) & known["diagnosis"].notna()
    eligible &= ~known["pathway"].isin(measure.exclude_pathways)
    infants = known[eligible].reset_index(drop=True)
    judged = _waits(infants, measure, as_of) if measure.timed else _shares(infants, measure)
    infants = pd.concat([infants, judged], axis=1)
    infants = infants[infants["late"] != "not_started"].reset_index(drop=True)
    left_out = _excluded(infants, measure)
    infants.loc[left_out, "late"] = "excluded"
    infants.loc[left_out, "days"] = float("nan")
    lag = pd.to_timedelta(infants["source"].map(settings.lag).astype(float), unit="D")
    wait = pd.Timedelta(days=measure.threshold_days if measure.timed else 0)
    decided_on = pd.concat([infants["index_on"] + wait, infants["diagnosis"]], axis=1).max(axis=1)
    infants["matured_on"] = decided_on + lag
    reported = {source: pd.Timestamp(min(day, as_of)) for source, day in (through or {}).items()}
    limit = pd.to_datetime(infants["source"].map(reported)).fillna(pd.Timestamp(as_of))
    infants["matured"] = infants["index_on"].notna() & (infants["matured_on"] <= limit)
    return infants[MEASURED_COLUMNS]


def _excluded(infants: pd.DataFrame, measure: Measure) -> pd.Series[bool]:
    """Who is left out by an attribute, or by age at the diagnosis."""
    left_out = pd.Series(False, index=infants.index)
    for name, values in measure.exclude_values.items():
        held = _attribute(infants, name)
        named = [isinstance(text, str) and not set(values).isdisjoint(text.split("+")) for text in held]
        left_out |= np.array(named, dtype=bool)
    if measure.age_days_at_diagnosis:
        age = (infants["diagnosis"] - infants["birth_date"]).dt.days
        youngest, oldest = measure.age_days_at_diagnosis
        left_out |= age.notna() & ~age.between(youngest, oldest)
    return left_out.astype(bool)


def _waits(infants: pd.DataFrame, measure: Measure, as_of: date) -> pd.DataFrame:
    wait, today = measure.wait, pd.Timestamp(as_of)
    onset = wait.start == "onset"
    start_low = infants["onset_low" if onset else wait.start]
    start_high = infants["onset_high" if onset else wait.start]
    status = infants[f"status_{wait.name}"]
    stop = infants[wait.stop]
    censored_on = infants["censored_on"].fillna(today)
    end = censored_on.where(censored_on <= today, today)
    event = (status == "event") & stop.notna()
    bypass = infants["pathway"].isin(measure.competing_pathways) & infants["neurology"].notna() & ~event
    end = end.where(~bypass, infants["neurology"])
    competing = bypass | ((status == "competing") & (infants["censored_on"] <= today))
    waited = (end - start_high).dt.days.astype(float)
    low = pd.to_numeric(infants[f"days_{wait.name}_low"]).astype(float).where(event, waited)
    longest = (end - start_low).dt.days.astype(float)
    high = pd.to_numeric(infants[f"days_{wait.name}_high"]).astype(float).where(event, longest)
    if wait.start in _AT_FIRST_CONTACT or wait.stop in _AT_FIRST_CONTACT:
        # The first provider was elsewhere, on an unknown day: of the wait, only the part from here on is known.
        unobserved = infants["first_visit_unobserved"]
    else:
        unobserved = pd.Series(False, index=infants.index)
    late = pd.Series("pending", index=infants.index, dtype=object)
    late[~event & ~competing & (low > measure.threshold_days)] = "yes"
    late[competing] = "not_applicable"
    late[competing & (low > measure.threshold_days)] = "yes"
    late[event] = "indeterminate"
    late[event & (high <= measure.threshold_days)] = "no"
    late[event & (low > measure.threshold_days)] = "yes"
    late[unobserved] = "indeterminate"
    if measure.initial_treatment:
        late[_another_medicine_first(infants)] = "yes"
    absent = (status == "missing") | start_low.isna() | low.isna()
    late[absent] = "missing"
    never = (status == "not_applicable") & ~bypass
    late[never] = "not_applicable"
    late[(start_low > today) | (~event & (low < 0) & ~absent)] = "not_started"
    counted = ~late.isin(["missing", "not_started"]) & ~never
    timed = counted & (low == high) & ~unobserved & (measure.kind == "interval")
    return pd.DataFrame(
        {
            # An interval-valued onset gives no single day; the proportion still uses what it decides.
            "days": low.where(timed),
            "entry": _entry(infants, start_high).where(timed, FROM_THE_START),
            "kind": event.astype(int) + 2 * (competing & ~event).astype(int),
            "late": late,
            "index_on": start_high.where(counted),
        }
    )


_AT_FIRST_CONTACT = ("first_provider",)
_FIRST_LINE = ("acth", "oral_steroid", "vigabatrin")


def _entry(infants: pd.DataFrame, start: pd.Series[Any]) -> pd.Series[Any]:
    """Delayed entry: a clock that started before the transfer is watched from the first contact here on."""
    before = (infants["first_provider"] - start).dt.days.astype(float)
    return before.where(infants["left_truncated"] & (before > 0), FROM_THE_START)


def _another_medicine_first(infants: pd.DataFrame) -> pd.Series[bool]:
    """Whose first medicine from the diagnosis on wasn't a first-line one."""
    first = infants["first_treatment"]
    other = first.notna() & (first >= infants["diagnosis"]) & ~infants["first_treatment_drug"].isin(_FIRST_LINE)
    return other & ~(infants["first_line"] <= first)


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
            "entry": FROM_THE_START,
            "kind": 0,
            "late": late,
            "index_on": index_on.where(late != "missing"),
        }
    )


def last_complete_week(as_of: date) -> date:
    """Monday of the last week that is over on `as_of` (a Sunday closes its week)."""
    monday = as_of - timedelta(days=as_of.weekday())
    return monday if as_of.weekday() == 6 else monday - timedelta(days=7)
