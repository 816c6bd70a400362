"""Treatment: which medicine it is, whether it was given, and when a course of it began (clinical.md 1.7)."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from fhir_mapping.chart import Milestone, words_of
from fhir_mapping.conditions import OTHER_STEROID_USE, contained_reasons, reason_roles
from fhir_mapping.dates import DateRange, earliest
from fhir_mapping.dosage import Amount, amount_of, given_mg, is_local
from fhir_mapping.elements import concept_of, obj, objs, start_of, status, text
from fhir_mapping.releases import (
    ADMINISTRATION_DATES,
    PROCEDURE_DATES,
    STATEMENT_DATES,
    medication,
    reasons,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fhir_mapping.chart import Chart
    from fhir_mapping.elements import Json
    from fhir_mapping.model import Resource

FIRST_LINE = ("acth", "oral_steroid", "vigabatrin")
NO_DRUG = "not_first_line"
#: A course goes on while no more than this many days lie between one sign of it and the next: order, supply, doses.
COURSE_DAYS = 30
_STIMULATION_TEST_MG = 0.25
_OTHER_ILLNESS = re.compile(
    r"croup|asthma|wheez|bronch|laryng|stridor|airway|allerg|anaphyla|urticaria|eczema|dermatitis|nephrotic", re.I
)

_GIVEN = frozenset({"completed", "in-progress"})
_HANDED_OVER = frozenset({"completed", "in-progress"})
_ORDERED = frozenset({"active", "completed", "stopped"})
_ORDER_INTENT = frozenset({"order", "original-order", "instance-order"})
_TAKEN = frozenset({"active", "completed", "recorded", "stopped"})

#: (rule, level): what is nearest to the infant comes first.
_LEVELS = {"MedicationAdministration": 0, "Procedure": 0, "MedicationDispense": 1, "MedicationRequest": 2}


@dataclass(frozen=True, eq=False)
class Dose:
    """One resource that says a medicine was given, supplied, ordered or reported."""

    resource: Resource
    drug: str
    when: DateRange
    level: int  # 0 given, 1 supplied, 2 ordered, 3 reported
    rule: str
    certainty: str
    amount: Amount = field(repr=False)
    local: bool
    reason_roles: frozenset[str]
    reason_conditions: frozenset[tuple[str, str]]
    order: tuple[str, str] | None  # the request that an administration or dispense carries out


@dataclass(frozen=True, eq=False)
class Course:
    """Doses of one medicine that belong together; `start` is by the nearest evidence (given > supplied > ordered)."""

    drug: str
    doses: tuple[Dose, ...]
    start: Milestone


@lru_cache(maxsize=1)
def _names() -> tuple[tuple[str, re.Pattern[str]], ...]:
    table = (resources.files("fhir_mapping.codes") / "drug_names.csv").read_text(encoding="utf-8")
    return tuple(
        (record["drug"], re.compile(record["pattern"], re.IGNORECASE)) for record in csv.DictReader(table.splitlines())
    )


def drug_of(concepts: Iterable[Json], chart: Chart) -> tuple[str, str] | None:
    """(drug, certainty) of a medicine: by code, else by name. None when it is none of ours, or known not to count."""
    items = list(concepts)
    drugs = sorted(role.removeprefix("drug_") for role in chart.roles_of(items) if role.startswith("drug_"))
    if drugs:
        return None if NO_DRUG in drugs else (drugs[0], "coded")
    words = words_of(items)
    for drug, pattern in _names():
        if pattern.search(words):
            if drug == "tetracosactide":
                return ("acth", "text") if chart.settings.tetracosactide else None
            return (drug, "text") if drug else None
    return None


def medicine_of(resource: Resource, chart: Chart) -> tuple[list[Json], Json]:
    """(concepts of the medicine, its form): in the resource, contained, or in the Medication it refers to."""
    concept, reference = medication(resource.body)
    concepts = [concept] if concept else []
    form: Json = {}
    if reference:
        found = chart.resolve(reference, resource, "Medication")
        if found is not None:
            concepts.append(obj(found.body.get("code")))
            concepts += [concept_of(_ingredient(item)) for item in objs(found.body.get("ingredient"))]
            form = obj(found.body.get("form") or found.body.get("doseForm"))
        elif text(reference.get("display")):
            concepts.append({"text": text(reference["display"])})
    return concepts, form


def _ingredient(item: Json) -> Json:
    return obj(item.get("itemCodeableConcept")) or obj(item.get("item"))


def read_dose(resource: Resource, chart: Chart) -> Dose | None:
    """A medication resource as a dose; None when it is another medicine, or was not ordered, supplied or given."""
    concepts, form = medicine_of(resource, chart)
    found = drug_of(concepts, chart)
    if found is None:
        return None
    body = resource.body
    rule = _counts(resource)
    if rule is None:
        return None
    when = chart.plausible(day_of(resource, chart))
    if when is None:
        return None
    words = words_of(concepts)
    single = resource.type == "MedicationAdministration"
    amount = given_mg(body, words) if single else amount_of(body, words)
    if found[0] == "acth" and 0 < amount.mg_per_day <= _STIMULATION_TEST_MG:
        return None  # a stimulation test under another name
    codes, references = reasons(body)
    why = reason_roles([*codes, *contained_reasons(references, resource, chart)], chart)
    if found[0] == "oral_steroid" and _for_another_illness(codes, references, resource, chart):
        return None
    targets = (chart.same_target(item, "Condition") for item in references)
    return Dose(
        resource,
        found[0],
        when,
        _LEVELS.get(resource.type, 3),
        rule,
        found[1],
        amount,
        is_local(body, words, form, chart),
        why,
        frozenset(target for target in targets if target),
        _order_of(body, chart),
    )


def _for_another_illness(codes: Sequence[Json], references: Sequence[Json], holder: Resource, chart: Chart) -> bool:
    """Whether every reason on record is an illness that oral steroids are given for, spasms apart: croup, asthma.

    By code; by words when no coding is in a system that we know.
    """
    conditions = (chart.resolve(reference, holder, "Condition") for reference in references)
    why = [*codes, *(concept_of(one.body.get("code")) for one in conditions if one is not None)]
    return bool(why) and all(
        OTHER_STEROID_USE in chart.roles_of([concept])
        or (not chart.knows_a_system_of(concept) and bool(_OTHER_ILLNESS.search(words_of([concept]))))
        for concept in why
    )


def _order_of(body: Json, chart: Chart) -> tuple[str, str] | None:
    for reference in (*objs(body.get("request")), *objs(body.get("authorizingPrescription"))):
        target = chart.same_target(reference, "MedicationRequest")
        if target:
            return target
    return None


def _counts(resource: Resource) -> str | None:
    """The rule by which the resource counts, or None: by type, status and intent."""
    body, written = resource.body, status(resource.body)
    if resource.type == "MedicationAdministration":
        return "M8.1" if written in _GIVEN else None
    if resource.type == "MedicationDispense":
        return "M8.2" if written in _HANDED_OVER else None
    if resource.type == "MedicationRequest":
        ordered = written in _ORDERED and status(body, "intent") in _ORDER_INTENT
        return "M8.3" if ordered and body.get("doNotPerform") is not True else None
    return "M8.4" if written in _TAKEN else None


def day_of(resource: Resource, chart: Chart) -> DateRange | None:
    """When a medication resource says that it was given, handed over, ordered or taken. Raises `Unreadable`."""
    body = resource.body
    if resource.type == "MedicationAdministration":
        return start_of(body, resource.type, ADMINISTRATION_DATES, chart.timezone)
    if resource.type == "MedicationDispense":
        return start_of(body, resource.type, ("whenHandedOver",), chart.timezone)
    if resource.type == "MedicationRequest":
        return start_of(body, resource.type, ("authoredOn",), chart.timezone)
    return start_of(body, resource.type, STATEMENT_DATES, chart.timezone)


def read_injection(resource: Resource, chart: Chart) -> Dose | None:
    """A Procedure billed with a drug's HCPCS code: the drug was given."""
    body = resource.body
    concept = concept_of(body.get("code"))
    drugs = sorted(role.removeprefix("drug_") for role in chart.roles_of([concept]) if role.startswith("drug_"))
    if not drugs or NO_DRUG in drugs or status(body) not in _GIVEN:
        return None
    when = chart.plausible(start_of(body, "Procedure", PROCEDURE_DATES, chart.timezone))
    if when is None:
        return None
    return Dose(resource, drugs[0], when, 0, "M8.1", "coded", Amount(), False, frozenset(), frozenset(), None)


def courses(doses: Iterable[Dose]) -> list[Course]:
    """Doses of one medicine grouped into courses, by start date then drug."""
    by_drug: dict[str, list[Dose]] = defaultdict(list)
    for dose in doses:
        if not dose.local:
            by_drug[dose.drug].append(dose)
    found: list[Course] = []
    for drug, items in by_drug.items():
        items.sort(key=lambda dose: (*dose.when.sort_key, dose.level, dose.resource.type, dose.resource.id))
        found += [course_of(drug, group) for group in _groups(items)]
    return sorted(found, key=lambda course: (course.start.when.sort_key, course.drug))


def _groups(doses: Sequence[Dose]) -> list[list[Dose]]:
    groups: list[list[Dose]] = []
    for dose in doses:
        group = next((found for found in groups if dose.order and _holds(found, dose.order)), None)
        if group is None and groups and (dose.when.low - groups[-1][-1].when.low).days <= COURSE_DAYS:
            group = groups[-1]
        if group is None:
            groups.append([dose])
        else:
            group.append(dose)
    return groups


def _holds(group: Sequence[Dose], order: tuple[str, str]) -> bool:
    return any((dose.resource.type, dose.resource.id) == order for dose in group)


def course_of(drug: str, doses: Sequence[Dose]) -> Course:
    """Doses that belong together as one course, dated by what is nearest to the infant."""
    nearest = min(dose.level for dose in doses)
    best = [dose for dose in doses if dose.level == nearest]
    when = earliest(dose.when for dose in best) or best[0].when
    return Course(drug, tuple(doses), Milestone(when, best[0].resource, best[0].rule, best[0].certainty, drug))
