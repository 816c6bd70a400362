"""Whether an infant is a case, how sure (cohort), and when suspected (M2), diagnosed (M7) and first ill (M0)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fhir_mapping.chart import Milestone
from fhir_mapping.conditions import Diagnosis, before_two_years, quarantine_undated
from fhir_mapping.facts import first_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.chart import Chart
    from fhir_mapping.contract import CohortClass
    from fhir_mapping.dates import DateRange
    from fhir_mapping.encounters import Visit
    from fhir_mapping.facts import Facts
    from fhir_mapping.model import Resource
    from fhir_mapping.observations import OnsetReport
    from fhir_mapping.onset import Onset

#: Reasons of an order that say somebody thought of IESS.
_IESS_REASON = frozenset({"iess_definite", "iess_text", "iess_question"})
_WIDTH = {"day": 0, "month": 1, "interval": 2, "year": 3}


@dataclass(frozen=True, eq=False)
class DatedCase:
    """A Condition that means (or may mean) IESS, with its date of diagnosis and the rule that gave it."""

    diagnosis: Diagnosis
    when: DateRange | None
    rule: str

    @property
    def unspecific(self) -> bool:
        """Convulsions, an abnormal EEG, or epilepsy without a type: the least of signs."""
        return "iess_unspecific" in self.diagnosis.roles and not self.diagnosis.suspected

    @property
    def milestone(self) -> Milestone | None:
        if self.when is None:
            return None
        certainty = "text" if self.diagnosis.case == "text" else "coded"
        return Milestone(self.when, self.diagnosis.resource, self.rule, certainty, self.diagnosis.case)


def dated_cases(facts: Facts, chart: Chart) -> list[DatedCase]:
    """Every Condition of the case, dated: asserted date, else its encounter's, else the day it was recorded (M7).

    Late-onset spasms are a case only with onset before two years. An undatable one whose date can't be read is
    quarantined.
    """
    found: list[DatedCase] = []
    for diagnosis in facts.diagnoses:
        if not diagnosis.is_case and diagnosis.case != "late_onset":
            continue
        when, rule = _diagnosed(diagnosis, facts, chart)
        if quarantine_undated(diagnosis, when, chart):
            continue
        if diagnosis.case == "late_onset":
            if not before_two_years(diagnosis, when, chart.birth, chart.second_birthday):
                continue
            diagnosis = replace(diagnosis, case="definite")
        found.append(DatedCase(diagnosis, when, rule))
    return found


def _diagnosed(diagnosis: Diagnosis, facts: Facts, chart: Chart) -> tuple[DateRange | None, str]:
    if diagnosis.asserted is not None:
        return diagnosis.asserted, "M7.1"
    at_visit = [(visit.day_of(diagnosis.recorded, chart.counts_from), visit) for visit in visits_of(diagnosis, facts)]
    if at_visit:
        when, visit = min(at_visit, key=lambda item: item[0].sort_key)
        return when, "M7.2" if when == visit.when else "M7.3"
    return diagnosis.recorded, "M7.3"


def visits_of(diagnosis: Diagnosis, facts: Facts) -> tuple[Visit, ...]:
    """The visits that a Condition belongs to, by its reference or theirs."""
    pointing = facts.visits_by_condition.get(diagnosis.resource.id, ())
    named = facts.visits_by_id.get(diagnosis.encounter[1]) if diagnosis.encounter else None
    return pointing if named is None or named in pointing else (named, *pointing)


# Cohort --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """The case as it stands: its class, the Conditions that make it, and its first date."""

    cohort: CohortClass
    members: tuple[DatedCase, ...]

    @property
    def index(self) -> DateRange | None:
        """The first day that the case is on record: what look-backs and the age window count from."""
        first = first_of(item.milestone for item in self.members if item.milestone is not None)
        return first.when if first else None

    @property
    def diagnosis(self) -> Milestone | None:
        """M7: the earliest Condition that is confirmed or of no status; none for a merely possible case."""
        if self.cohort == "possible":
            return None
        return first_of(
            item.milestone for item in self.members if item.milestone is not None and not item.diagnosis.suspected
        )


def decided(cases: Iterable[DatedCase]) -> Case | None:
    """The case as far as Conditions alone decide: one confirmed definite code is enough."""
    items = list(cases)
    classes: tuple[CohortClass, ...] = ("definite", "probable")
    for cohort in classes:
        members = tuple(item for item in items if item.diagnosis.case == cohort and not item.diagnosis.suspected)
        if members:
            return Case(cohort, members)
    return None


def undecided(cases: Iterable[DatedCase], chart: Chart) -> tuple[DatedCase, ...]:
    """Ambiguous codes, and definite ones only ever suspected, before the second birthday: a second signal decides."""
    limit = chart.second_birthday
    return tuple(
        item
        for item in cases
        if (item.diagnosis.case == "ambiguous" or (item.diagnosis.suspected and item.diagnosis.case != "text"))
        and (item.when is None or limit is None or item.when.low < limit)
    )


def resolve_case(cases: Iterable[DatedCase], second_signal: bool, chart: Chart) -> Case | None:
    """The infant's case; None when no Condition means IESS in any way (clinical.md 1.1).

    The most specific codes make the case: a definite code that was only suspected and the specific ambiguous ones, then
    the syndrome named in words, then the unspecific ones (convulsions, abnormal EEG, epilepsy without a type).
    """
    items = list(cases)
    certain = decided(items)
    if certain is not None:
        return certain
    open_cases = undecided(items, chart)
    specific = tuple(item for item in open_cases if not item.unspecific)
    texts = tuple(item for item in items if item.diagnosis.case == "text" and not item.diagnosis.suspected)
    if specific and second_signal:
        return Case("probable", specific)
    if texts:
        return Case("text_only", texts)
    if open_cases:
        return Case("probable" if second_signal else "possible", specific or open_cases)
    return Case("possible", tuple(items)) if items else None


# Onset and suspicion -------------------------------------------------------------------------------------------


def onset_of(
    cases: Iterable[DatedCase], reports: Iterable[OnsetReport], diagnosis: Milestone | None, chart: Chart
) -> Milestone | None:
    """M0: the most precise valid onset, the earliest of those. Before birth or after the diagnosis it is invalid.

    Conditions of the case come first; Observations and questionnaires tell when they don't.
    """
    by_condition = [(item.diagnosis.onset, item.diagnosis.resource) for item in cases if item.diagnosis.onset]
    valid = _valid_onsets(by_condition, diagnosis, chart)
    valid = valid or _valid_onsets([(item.onset, item.resource) for item in reports], diagnosis, chart)
    if not valid:
        return None
    chosen = min(
        valid,
        key=lambda item: (item.certainty == "low", _WIDTH[item.when.precision], item.when.sort_key, item.resource.id),
    )
    if chosen.certainty == "low":
        chart.flags.add("onset_from_text")
    return chosen


def _valid_onsets(told: Iterable[tuple[Onset, Resource]], diagnosis: Milestone | None, chart: Chart) -> list[Milestone]:
    valid: list[Milestone] = []
    for onset, resource in told:
        if chart.birth is not None and onset.when.high < chart.birth.low:
            chart.flags.add("onset_before_birth")
        elif diagnosis is not None and onset.when.low > diagnosis.when.high:
            chart.flags.add("onset_after_diagnosis")
        elif chart.plausible(onset.when) is not None:
            detail = f"period_days={onset.width_days}" if onset.width_days else ""
            valid.append(Milestone(onset.when, resource, onset.rule, onset.certainty, detail))
    return valid


def reports_of_case(facts: Facts, case_ids: frozenset[str]) -> list[OnsetReport]:
    """The onsets told beside the Conditions that can be of this illness.

    One that is about a Condition must be about the case; one made at a visit that is here, at a visit where the case,
    a paroxysmal sign or neurology was: the onset of a cold is none.
    """
    concerned = {visit.resource.id for visit in facts.visits if visit.contact is not None}
    for diagnosis in facts.diagnoses:
        if diagnosis.is_case or diagnosis.roles & {"concern_a", "concern_a_unless_newborn"}:
            concerned |= {visit.resource.id for visit in visits_of(diagnosis, facts)}
    found = []
    for report in facts.onset_reports:
        about = {identity for kind, identity in report.focus if kind in {"Condition", ""}}
        visit = report.encounter[1] if report.encounter and report.encounter[1] in facts.visits_by_id else None
        if about & case_ids or (not about and (visit is None or visit in concerned)):
            found.append(report)
    return found


def suspicion_of(cases: Iterable[DatedCase], facts: Facts, diagnosis: Milestone | None) -> Milestone | None:
    """M2: the first Condition of IESS that is only suspected, or order whose reason is IESS, up to the diagnosis."""
    items = [item for item in cases if item.diagnosis.case in {"definite", "probable"}]
    found = [
        Milestone(item.when, item.diagnosis.resource, "M2.1", "status")
        for item in items
        if item.diagnosis.suspected and item.when is not None
    ]
    ids = {("Condition", item.diagnosis.resource.id) for item in items}
    found += [
        Milestone(order.authored, order.resource, "M2.2", "coded")
        for order in facts.orders
        if order.authored is not None and (order.reason_roles & _IESS_REASON or order.reason_conditions & ids)
    ]
    return first_of(item for item in found if diagnosis is None or item.when.low <= diagnosis.when.high)
