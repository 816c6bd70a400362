"""Infants without IESS: their courses, and how the record has them. They are what a careless rule takes for spasms."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import ICD10, LOCAL, NUCC, OTHER_DRUGS, RXNORM, SNOMED, concept
from synthetic.course import Course, draw_traits
from synthetic.demographics import interpreter_extension, interpreter_on_encounter
from synthetic.medicines import dose, medication_request
from synthetic.visits import croup, eeg, neurology_visit, referral_elsewhere, well_visits

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from synthetic.chart import Chart
    from synthetic.options import SynthOptions
    from synthetic.people import Person
    from synthetic.rates import Rates

_OTHER_EPILEPSIES = ("G40.109", "G40.209", "G40.309", "G40.802", "G40.833", "G40.841", "G40.42", "G40.909", "G40.812")


def draw_other(options: SynthOptions, rates: Rates, draw: Random) -> Course:
    kind = rates.table("other").pick(draw)
    span = (options.end - options.start).days + 1
    day = options.start + timedelta(days=int(draw.random() * span))
    age = 735 + draw.randrange(300) if kind == "late_onset_spasms" else 30 + int(draw.random() ** 1.5 * 600)
    return Course(
        kind=kind, birth=day - timedelta(days=age), stop=options.last_day, contact=day, traits=draw_traits(rates, draw)
    )


def write_other(chart: Chart, course: Course, person: Person, rates: Rates, draw: Random) -> None:
    interpreter = interpreter_extension(person) if interpreter_on_encounter(person) else None
    before, after = course.contact - timedelta(days=70), course.contact + timedelta(days=70)
    well_visits(chart, course.birth, before, after, interpreter)
    writer = _WRITERS.get(course.kind)
    if writer:
        writer(chart, course.contact, rates, draw)


def _plain_visit(code: str, text: str) -> Callable[[Chart, date, Rates, Random], None]:
    def write(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
        for step in range(1 + draw.randrange(2)):
            on = day + timedelta(days=step * 9)
            visit = chart.encounter("AMB", on, 540 + draw.randrange(14) * 30, place="clinic")
            chart.condition(concept(ICD10, code, text), on, visit)

    return write


def _croup(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    croup(chart, day)


def _febrile_seizure(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    visit = chart.encounter("EMER", day, 1140, 180, by="emergency-1", text="Emergency visit", place="emergency")
    chart.condition(concept(ICD10, "R56.00", "Simple febrile convulsions"), day, visit)


def _brue(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    visit = chart.encounter("EMER", day, 700, 240, by="emergency-1", text="Emergency visit", place="emergency")
    chart.condition(concept(ICD10, "R68.13", "BRUE"), day, visit)


def _movement(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    """Shuddering or myoclonus: the same path as spasms, with a normal EEG at its end."""
    code, text = draw.choice((("G25.83", "Benign shuddering attacks"), ("G25.3", "Myoclonus"), ("R25.8", "Movements")))
    visit = chart.encounter("AMB", day, 600, place="clinic")
    chart.condition(concept(ICD10, code, text), day, visit)
    seen = day + timedelta(days=3 + draw.randrange(30))
    chart.service_request(
        concept(SNOMED, "306263000", "Referral to neurologist"),
        day,
        visit,
        status="completed" if seen <= chart.stop else "active",
        changed=seen if seen <= chart.stop else None,
    )
    visit = neurology_visit(chart, seen, rates.table("neurology_evidence").pick(draw), draw)
    chart.condition(concept(ICD10, code, text), seen, visit)
    if draw.random() < 0.5:
        eeg(chart, seen, visit, draw)


def _other_epilepsy(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    visit = chart.encounter("EMER", day, 820, 240, by="emergency-1", text="Emergency visit", place="emergency")
    chart.condition(concept(ICD10, "R56.9", "Convulsions, unspecified"), day, visit)
    seen = day + timedelta(days=1 + draw.randrange(20))
    chart.service_request(
        concept(SNOMED, "103696004", "Referral to specialist"),
        day,
        visit,
        status="completed" if seen <= chart.stop else "active",
        performer_type=concept(NUCC, "2084N0402X", "Child neurology"),
        changed=seen if seen <= chart.stop else None,
        by="emergency-1",
    )
    visit = neurology_visit(chart, seen, rates.table("neurology_evidence").pick(draw), draw)
    chart.condition(concept(ICD10, draw.choice(_OTHER_EPILEPSIES), "Epilepsy"), seen, visit)
    eeg(chart, seen, visit, draw)
    drug = draw.choice(("levetiracetam", "levetiracetam", "phenobarbital", "valproate"))
    medication = {"medicationCodeableConcept": concept(RXNORM, OTHER_DRUGS[drug], drug.title())}
    medication_request(chart, medication, seen, visit, dose=dose("oral", 100, "mg", 2))


def _neurology_follow_up(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    code, text = draw.choice((("Q85.1", "Tuberous sclerosis"), ("P91.62", "Hypoxic ischemic encephalopathy")))
    for step in range(3):
        seen = day + timedelta(days=60 * step)
        visit = neurology_visit(chart, seen, rates.table("neurology_evidence").pick(draw), draw, text="Follow-up visit")
        chart.condition(concept(ICD10, code, text), seen, visit)


def _development(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    visit = chart.encounter("AMB", day, 600, place="clinic")
    chart.condition(concept(ICD10, "R62.50", "Developmental delay"), day, visit)
    for where in draw.sample(("neurosurgery", "neuropsychology", "development"), 2):
        referral_elsewhere(chart, day, visit, where)


def _ruled_out(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    """IESS written down on suspicion, and refuted after a normal EEG: the same Condition, now refuted."""
    visit = chart.encounter("AMB", day, 600, place="clinic")
    chart.condition(concept(ICD10, "R25.8", "Abnormal movements"), day, visit)
    chart.condition(concept(ICD10, "G40.822", "Infantile spasms"), day, visit, verification="refuted")
    seen = day + timedelta(days=2 + draw.randrange(10))
    visit = neurology_visit(chart, seen, rates.table("neurology_evidence").pick(draw), draw)
    chart.condition(concept(ICD10, "G25.83", "Benign shuddering attacks"), seen, visit)
    eeg(chart, seen, visit, draw)


def _late_onset_spasms(chart: Chart, day: date, rates: Rates, draw: Random) -> None:
    visit = neurology_visit(chart, day, "practitioner", draw)
    code = {"coding": [{"system": SNOMED, "code": "778063003"}, {"system": LOCAL, "code": "DX-48877"}]}
    chart.condition({**code, "text": "Late-onset epileptic spasms"}, day, visit)
    eeg(chart, day, visit, draw)


_WRITERS: dict[str, Callable[[Chart, date, Rates, Random], None]] = {
    "reflux": _plain_visit("K21.9", "Reflux without esophagitis"),
    "colic": _plain_visit("R10.83", "Colic"),
    "croup": _croup,
    "febrile_seizure": _febrile_seizure,
    "other_epilepsy": _other_epilepsy,
    "brue": _brue,
    "movement": _movement,
    "neurology_follow_up": _neurology_follow_up,
    "development": _development,
    "ruled_out": _ruled_out,
    "late_onset_spasms": _late_onset_spasms,
}
