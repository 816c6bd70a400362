"""From facts to one row: the milestones in their order, the waits between them, and the path taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping.chart import Milestone
from fhir_mapping.contract import INTERVALS, Pathway, Wait
from fhir_mapping.dates import DateRange
from fhir_mapping.elements import Unreadable, date_at
from fhir_mapping.facts import first_of
from fhir_mapping.waits import MISSING, NOT_APPLICABLE, is_negative, wait_between

if TYPE_CHECKING:
    from datetime import date

    from fhir_mapping.chart import Chart
    from fhir_mapping.facts import Facts
    from fhir_mapping.model import Resource
    from fhir_mapping.referrals import Chain

#: Waits that are no wait for an infant who already had a neurologist (ruling 12), or who met one in hospital (7).
_NOT_FOR_KNOWN_PATIENTS = frozenset({"provider_to_neurology", "provider_to_referral", "referral_to_neurology"})
_NOT_FOR_HOSPITAL_PATH = frozenset({"provider_to_referral", "referral_to_neurology"})
#: Waits to treatment that, when negative, count as no wait (sign rules).
_TREATED_EARLY = frozenset({"eeg_to_first_line", "diagnosis_to_first_line"})


@dataclass(frozen=True, eq=False)
class Referral:
    """M3: the first neurology referral on or after the first provider, and what is known beside it."""

    milestone: Milestone | None
    chain: Chain | None


@dataclass(frozen=True)
class Censoring:
    """MC: the day on which observation ends, and whether by death."""

    day: date | None
    died: bool
    resource: Resource | None
    rule: str


def referral_of(facts: Facts, first_provider: Milestone | None, chart: Chart) -> Referral:
    """M3. A chain that began before the first provider is a standing referral, not this one (ruling 12)."""
    start = first_provider.when if first_provider else None
    undated: Chain | None = None
    for chain in facts.chains:
        if chain.aim != "neurology":
            continue
        when, rule, resource = chain.when, chain.rule, chain.dated_by.resource if chain.dated_by else None
        if when is None:
            task = min(
                (task for task in facts.tasks if task.requests & chain.ids),
                key=lambda task: (task.when.sort_key, task.resource.id),
                default=None,
            )
            if task is None:
                undated = undated or chain
                continue
            when, rule, resource = task.when, "M3.3", task.resource
        if start is not None and when.high < start.low:
            chart.flags.add("referral_before_concern")
            continue
        _flag_chain(chain, rule, chart)
        return Referral(Milestone(when, resource or chain.orders[0].resource, rule, chain.evidence), chain)
    if undated is not None:
        chart.flags.add("referral_undated")
        return Referral(None, undated)
    return Referral(_task_alone(facts, start), None)


def _flag_chain(chain: Chain, rule: str, chart: Chart) -> None:
    if rule == "M3.2":
        chart.flags.add("encounter_date_as_referral")
    if chain.replacements:
        chart.flags.add("re_referral")
    if any(order.status == "revoked" for order in chain.orders):
        chart.flags.add("referral_revoked")


def _task_alone(facts: Facts, start: DateRange | None) -> Milestone | None:
    """A referral loop's Task that asks for neurology, when there is no request."""
    return first_of(
        Milestone(task.when, task.resource, "M3.3", "text")
        for task in facts.tasks
        if task.neurology and (start is None or task.when.high >= start.low)
    )


def detours(
    facts: Facts, first_provider: Milestone | None, referral: Milestone | None, neurology: Milestone | None
) -> list[Milestone]:
    """Referrals to another specialty from the first provider on, before the one to neurology (ruling 11)."""
    until = referral or neurology
    found: list[Milestone] = []
    for chain in facts.chains:
        if chain.aim != "other" or chain.when is None or chain.dated_by is None:
            continue
        if first_provider is not None and chain.when.high < first_provider.when.low:
            continue
        if until is None or chain.when.high < until.when.low:
            found.append(Milestone(chain.when, chain.dated_by.resource, "M3.4", chain.evidence))
    return found


def booked_of(facts: Facts, referral: Milestone | None, first_provider: Milestone | None) -> Milestone | None:
    """M4: when the first neurology appointment from the referral (or first provider) on was made."""
    after = referral or first_provider
    return first_of(
        Milestone(item.created, item.resource, "M4.1", item.certainty)
        for item in facts.appointments
        if item.created is not None and (after is None or item.created.high >= after.when.low)
    )


def pathway_of(
    facts: Facts, first_provider: Milestone | None, referral: Referral, neurology: Milestone | None
) -> Pathway:
    """How the infant came to neurology (rulings 7, 9 and 12)."""
    if is_negative(first_provider.when if first_provider else None, neurology.when if neurology else None):
        return "pre_existing_neurology"
    if referral.milestone is not None or referral.chain is not None:
        return "referred"
    if neurology is not None and _in_hospital(neurology, facts):
        return "ed_inpatient"
    return "no_referral_record"


def _in_hospital(neurology: Milestone, facts: Facts) -> bool:
    """Whether neurology was met in an emergency visit or admission: its own encounter, or one that holds its day."""
    for visit in facts.visits:
        if not visit.hospital:
            continue
        if visit.resource is neurology.resource:
            return True
        last = (visit.end or visit.when).high
        if neurology.rule == "M5.6" and visit.when.low <= neurology.when.low <= last:
            return True
    return False


# Censoring -----------------------------------------------------------------------------------------------------


def censoring_of(facts: Facts, first_provider: Milestone | None, chart: Chart) -> Censoring:
    """MC: the first of as-of date, death, second birthday and recorded transfer out. Never the last encounter (G46)."""
    found: list[tuple[date, int, bool, Resource | None, str]] = []
    if chart.horizon is not None:
        found.append((chart.horizon, 2, False, None, "MC.1"))
    died = _death(facts, chart)
    if died is not None:
        found.append((died[0], 0, True, died[1], "MC.2"))
        chart.flags.add("died")
    if chart.second_birthday is not None:
        found.append((chart.second_birthday, 3, False, chart.record.patient, "MC.3"))
    left = _transfer_out(facts, first_provider)
    if left is not None:
        found.append((left[0], 1, False, left[1], "MC.4"))
        chart.flags.add("transferred_out")
    if not found:
        return Censoring(None, False, None, "")
    day, _, dead, resource, rule = min(found, key=lambda item: (item[0], item[1]))
    return Censoring(day, dead, resource, rule)


def _death(facts: Facts, chart: Chart) -> tuple[date, Resource] | None:
    """The (first possible) day of death; without a readable date, the last day on which the infant was seen alive."""
    for patient in chart.patients:
        body = patient.body
        written = body.get("deceasedDateTime")
        try:
            when = chart.plausible(date_at(written, "Patient.deceasedDateTime", chart.timezone))
        except Unreadable:
            when = None
        else:
            if written is not None and when is None:
                continue  # after the as-of date: not known then
        if when is not None:
            if not when.exact:
                chart.flags.add("partial_date")
            return when.low, patient
        if body.get("deceasedBoolean") is True or written is not None:
            chart.flags.add("death_undated")
            seen = [visit.when.low for visit in facts.visits] + [course.start.when.low for course in facts.courses]
            if seen:
                return max(seen), patient
    return None


def _transfer_out(facts: Facts, first_provider: Milestone | None) -> tuple[date, Resource] | None:
    """The end of the last visit, when it ended in another hospital and nothing follows here."""
    if not facts.visits:
        return None
    last = max(facts.visits, key=lambda visit: (visit.when.sort_key, visit.resource.id))
    if not last.to_elsewhere or (first_provider is not None and last.when.high < first_provider.when.low):
        return None
    return (last.end or last.when).low, last.resource


# Waits ---------------------------------------------------------------------------------------------------------


def waits_of(
    milestones: dict[str, Milestone | None], pathway: Pathway, censoring: Censoring, chart: Chart
) -> dict[str, Wait]:
    """Every interval of the contract."""
    seen = milestones["neurology"] is not None or pathway == "referred"
    return {
        interval.name: _wait(
            interval.name, milestones[interval.start], milestones[interval.stop], pathway, censoring, seen, chart
        )
        for interval in INTERVALS
    }


def _wait(
    name: str,
    start: Milestone | None,
    stop: Milestone | None,
    pathway: Pathway,
    censoring: Censoring,
    seen: bool,
    chart: Chart,
) -> Wait:
    if pathway == "pre_existing_neurology" and name in _NOT_FOR_KNOWN_PATIENTS:
        return NOT_APPLICABLE
    if pathway == "ed_inpatient" and name in _NOT_FOR_HOSPITAL_PATH:
        return NOT_APPLICABLE
    if name == "provider_to_referral" and stop is None and seen:
        return MISSING  # seen, or referred, without a dated referral: nothing is imputed, and nobody waits (ruling 9)
    from_when, to_when = start.when if start else None, stop.when if stop else None
    seen_after_referral = name == "referral_to_neurology"
    if is_negative(from_when, to_when):
        if seen_after_referral:
            chart.flags.add("referral_after_visit")
        elif name in _TREATED_EARLY:
            chart.flags.add("treated_before_diagnosis")
            if name == "eeg_to_first_line":
                chart.flags.add("treated_before_eeg")
        else:
            chart.flags.add(f"negative_{name}")
    return wait_between(
        from_when,
        to_when,
        censoring.day,
        died=censoring.died,
        negative_is_zero=seen_after_referral or name in _TREATED_EARLY,
    )
