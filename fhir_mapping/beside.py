"""What is known of an infant beside the row: the attributes of attributes.csv, each told only when it is known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping import people
from fhir_mapping.chart import words_of
from fhir_mapping.conditions import etiologies, gestational_weeks
from fhir_mapping.elements import concept_of, objs, start_of, status, text
from fhir_mapping.first_line import withheld_first_line
from fhir_mapping.releases import PROCEDURE_DATES
from fhir_mapping.studies import DONE_PROCEDURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_mapping.chart import Chart, Milestone
    from fhir_mapping.dates import DateRange
    from fhir_mapping.facts import Facts
    from fhir_mapping.first_provider import FirstProvider
    from fhir_mapping.model import Resource
    from fhir_mapping.timeline import Referral

_TERM_DAYS = 40 * 7
#: Epilepsy surgery that takes tissue away; a vagus nerve stimulator or callosotomy does not.
_RESECTIVE = re.compile(
    r"hemispher(?:ec|o)tom|lobectomy|corticectomy|tuberectomy|lesionectomy|\bresecti(?:on|ve)\b", re.I
)
_BRAIN = re.compile(r"hemispher|lob|cort|tuber|lesion|epilep|brain|cerebr", re.I)


@dataclass(frozen=True)
class Told:
    """The milestones of a case that the attributes are made of."""

    provider: FirstProvider
    diagnosis: Milestone | None
    referral: Referral
    booked: Milestone | None
    detours: Sequence[Milestone]
    first_line: Milestone | None
    orphan_referrals: int
    orphan_visits: int


def attributes_of(told: Told, facts: Facts, chart: Chart) -> dict[str, str]:
    """Every attribute that is known, by the names of attributes.csv."""
    found = {
        **_people(chart),
        **_needs(told, facts, chart),
        **_referral(told, facts),
        **_variants(told.provider),
        "postal_code": _postal_code(told, chart),
        "aan_exclusions": "+".join(sorted(_aan_exclusions(told, facts, chart))),
    }
    return {name: str(value) for name, value in found.items() if value is not None and value != ""}


def _people(chart: Chart) -> dict[str, str]:
    identity = people.infant_identity(chart)
    caregiver = people.caregiver_identity(chart)
    return {
        "omb1997": identity.category,
        "spd15": identity.spd15,
        "race_alone_or_in_combination": identity.alone_or_in_combination,
        "caregiver_race_ethnicity": caregiver.category if caregiver else "unknown",
        "caregiver_bipoc": people.caregiver_bipoc(chart),
    }


def _needs(told: Told, facts: Facts, chart: Chart) -> dict[str, str | int | None]:
    """Causes and prematurity. Age is corrected to 40 weeks (ruling 14), and never decides who is included."""
    diagnoses = list(facts.diagnoses)
    weeks = gestational_weeks(diagnoses)
    m1, birth = told.provider.strict, chart.birth
    age = (m1.when.low - birth.low).days if m1 and birth and m1.when.exact and birth.exact else None
    corrected = age - (_TERM_DAYS - weeks * 7) if age is not None and weeks is not None else None
    return {
        "etiology": "+".join(etiologies(diagnoses)),
        "gestational_weeks": weeks,
        "corrected_age_days": corrected,
    }


def _referral(told: Told, facts: Facts) -> dict[str, str | int | None]:
    referral, chain, booked = told.referral.milestone, told.referral.chain, told.booked
    kept = next((item for item in facts.appointments if booked and item.resource is booked.resource), None)
    start = kept.start if kept and kept.start is not None and kept.start.exact else None
    detour = told.detours[0].when if told.detours else None
    return {
        "detour_referrals": len(told.detours),
        "detour_days": _days(detour, referral.when if referral else None),
        "referral_chain_length": chain.replacements + 1 if chain else None,
        "orphan_referrals": told.orphan_referrals,
        "orphan_visits": told.orphan_visits,
        "no_shows": sum(item.status == "noshow" for item in facts.appointments),
        "appointment_start": start.low.isoformat() if start else None,
        "days_referral_to_booked": _days(referral.when if referral else None, booked.when if booked else None),
        "days_booked_to_appointment": _days(booked.when if booked else None, start),
    }


def _variants(provider: FirstProvider) -> dict[str, int | None]:
    """By how much M1 would be earlier under the two variants of its rule (clinical.md 1.2)."""
    strict = provider.strict.when if provider.strict else None
    return {
        "days_supported_before_strict": _days(provider.supported.when if provider.supported else None, strict),
        "days_broad_before_strict": _days(provider.broad.when if provider.broad else None, strict),
    }


def _days(start: DateRange | None, stop: DateRange | None) -> int | None:
    """Whole days between two exact days in their order; None when either is not known to the day, or out of order."""
    if start is None or stop is None or not start.exact or not stop.exact or stop.low < start.low:
        return None
    return (stop.low - start.low).days


def _postal_code(told: Told, chart: Chart) -> str:
    """Of the home address at M1 (ruling 19); of the only address when none has a period."""
    anchor = told.provider.strict or told.diagnosis
    for patient in chart.patients:
        addresses = [item for item in objs(patient.body.get("address")) if text(item.get("use")) in {"home", ""}]
        for address in addresses:
            if anchor is not None and people.address_holds(address, anchor.when, chart.timezone):
                return text(address.get("postalCode"))
    return ""


# The AAN measure's exclusions ------------------------------------------------------------------------------------


def _aan_exclusions(told: Told, facts: Facts, chart: Chart) -> set[str]:
    """Why the infant is no part of the AAN denominator (clinical.md 3), as far as FHIR tells; a trial can't be seen."""
    found = set(withheld_first_line(chart))
    if "metabolic" in etiologies(list(facts.diagnoses)):
        found.add("metabolic")
    if any(_before(item, told.first_line, chart) for item in chart.record.of("Procedure")):
        found.add("surgery_first")
    return found


def _before(procedure: Resource, first_line: Milestone | None, chart: Chart) -> bool:
    """Whether it is resective epilepsy surgery before any first-line medicine."""
    concept = concept_of(procedure.body.get("code"))
    words = words_of([concept])
    coded = "resective_surgery" in chart.roles_of([concept])
    if status(procedure.body) not in DONE_PROCEDURE or not (
        coded or (_RESECTIVE.search(words) and _BRAIN.search(words))
    ):
        return False
    when = chart.plausible(start_of(procedure.body, "Procedure", PROCEDURE_DATES, chart.timezone))
    return when is not None and (first_line is None or when.high < first_line.when.low)
