"""One infant's record to one row of the timeline: the rules of clinical.md, in their order.

Pure: the same record, settings and value sets give the same row. Never raises for what a record holds: an element
that a rule needs and that can't be read puts its resource in quarantine, and the rest is mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_mapping.assembly import Assembly
from fhir_mapping.cases import Case, dated_cases, resolve_case
from fhir_mapping.chart import Chart, Milestone
from fhir_mapping.facts import Facts, first_of, read_facts
from fhir_mapping.first_line import Treatment, treatment_of
from fhir_mapping.model import MappedInfant
from fhir_mapping.studies import first_eeg

if TYPE_CHECKING:
    from fhir_mapping.codes import Codes
    from fhir_mapping.model import InfantRecord, MappingSettings


def map_infant(record: InfantRecord, settings: MappingSettings, codes: Codes) -> MappedInfant:
    """The infant's timeline, or why there is none: not_iess, no_birth_date, age_outside_window, no_index_date."""
    chart = Chart(record, settings, codes)
    facts = read_facts(chart)
    cases = dated_cases(facts, chart)
    eeg, eeg_dates = first_eeg(facts.studies, chart)
    eeg = eeg or first_of(item for item in facts.eeg_orders if chart.plausible(item.when))
    treatment = treatment_of(facts, cases, eeg_dates, chart)
    case = resolve_case(cases, _second_signal(facts, eeg, treatment, chart), chart)
    excluded = _excluded(case, eeg, treatment, facts, chart)
    if case is None or excluded is not None:
        return MappedInfant(record.infant, None, excluded, (), tuple(chart.quarantined.values()))
    return Assembly(chart, facts, cases, case, eeg, treatment).mapped()


def _second_signal(facts: Facts, eeg: Milestone | None, treatment: Treatment, chart: Chart) -> bool:
    """An EEG, first-line therapy or neurology contact before the second birthday (clinical.md 1.1)."""
    limit = chart.second_birthday
    signals = [eeg, treatment.first_line, facts.contacts[0] if facts.contacts else None]
    return any(item is not None and (limit is None or item.when.low < limit) for item in signals)


def _excluded(case: Case | None, eeg: Milestone | None, treatment: Treatment, facts: Facts, chart: Chart) -> str | None:
    if case is None:
        return "after_as_of" if "date_after_horizon" in chart.flags else "not_iess"
    if chart.birth is None:
        return "no_birth_date"
    index = case.index
    if index is None:
        onsets = [item.diagnosis.onset.when for item in case.members if item.diagnosis.onset is not None]
        others = [item.when for item in (treatment.first_line, eeg) if item is not None]
        index = next(iter(onsets or others), None)
    if index is None:
        return "after_as_of" if "date_after_horizon" in chart.flags else "no_index_date"
    low, high = (index.low - chart.birth.high).days, (index.high - chart.birth.low).days
    settings = chart.settings
    if high < settings.min_age_days or low >= settings.max_age_days:
        return "age_outside_window"
    if low < settings.min_age_days or high >= settings.max_age_days:
        chart.flags.add("age_uncertain")
    return None
