"""The course of an infant with IESS, written down the way a hospital's record has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import DEFINITE, ICD10, MIMICS, PAROXYSMAL, concept
from synthetic.demographics import TEXT_OF_RACE, interpreter_extension, interpreter_on_encounter
from synthetic.distractors import write_distractors
from synthetic.iess_onset import record_onset
from synthetic.iess_referral import write_referral
from synthetic.iess_treatment import write_treatment
from synthetic.visits import (
    NEUROLOGY_SERVICE,
    croup,
    eeg,
    neurology_visit,
    pick_weighted,
    referral_elsewhere,
    well_visits,
)

if TYPE_CHECKING:
    from random import Random

    from synthetic.chart import Chart, Fhir
    from synthetic.course import IessCourse
    from synthetic.people import Person
    from synthetic.rates import Rates

_ADMITTED_FROM = "http://terminology.hl7.org/CodeSystem/admit-source"
_DISCHARGED_TO = "http://terminology.hl7.org/CodeSystem/discharge-disposition"
_LEGACY = ("G40.401", "G40.409", "G40.411", "G40.419")  # where ICD-9 conversions put infantile spasms


@dataclass(frozen=True, slots=True)
class Written:
    """What a careful reader can make of the record, where that is less, or other, than what happened."""

    onset_low: date | None = None
    onset_high: date | None = None
    referral_evidence: str = ""
    cohort: str = ""  # definite, probable, possible, text_only; "" while no IESS diagnosis is on record
    first_line: date | None = None  # the day of the order, where nothing says that it was given
    first_treatment: date | None = None
    order_alone: bool = False
    onset_from_text: bool = False
    flags: frozenset[str] = frozenset()


class IessRecord:
    """Writes one course into one chart, in the order of events as far as it matters."""

    def __init__(self, chart: Chart, course: IessCourse, person: Person, rates: Rates, draw: Random) -> None:
        self.chart = chart
        self.course = course
        self.person = person
        self.rates = rates
        self.draw = draw
        self.visits: dict[date, Fhir] = {}  # visits of concern, by day
        self.codes = self._codes()

    def write(self) -> Written:
        course, chart, draw = self.course, self.chart, self.draw
        interpreter = interpreter_extension(self.person) if interpreter_on_encounter(self.person) else None
        admitted = course.neurology if course.route == "ed_inpatient" else None
        until = course.contact + timedelta(days=120)
        well_visits(chart, course.birth, course.birth, until, interpreter, admitted)
        self._before_the_spasms()
        self._first_visits()
        evidence, undated = self._referral(course.referral) if course.referral else ("", False)
        neurology = self._admission() if course.route == "ed_inpatient" else self._neurology_visit()
        inpatient = course.route == "ed_inpatient"
        at_visit = neurology if inpatient or course.eeg == course.neurology else None
        eeg(chart, course.eeg, at_visit, draw, inpatient=inpatient)
        onset_form = self.rates.table("onset").pick(draw)
        onset, low, high = record_onset(onset_form, course.birth, course.onset)
        diagnosis = self._diagnoses(neurology, onset)
        ordered = write_treatment(chart, course, draw, neurology, diagnosis)
        write_distractors(chart, course, draw, neurology, onset_is_exact=onset_form == "exact")
        referred = course.happened(course.referral)
        diagnosed = course.happened(course.diagnosis)
        given = course.happened(course.first_line)
        started = course.happened(course.first_treatment)
        first_line = given or ordered
        written = Written(
            onset_low=low if diagnosed else None,
            onset_high=high if diagnosed else None,
            referral_evidence=evidence if referred else "",
            cohort=self._cohort(),
            first_line=first_line,
            first_treatment=started or first_line,
            order_alone=ordered is not None,
            onset_from_text=onset_form == "text" and diagnosed is not None,
        )
        return replace(written, flags=self._flags(written, undated=undated and referred is not None))

    def _codes(self) -> Fhir:
        if "text_only" in self.course.traits:
            return {"text": "Infantile spasms"}
        if "probable" in self.course.traits:
            return concept(ICD10, self.draw.choice(_LEGACY), "Generalized epilepsy")
        codings, text, _ = pick_weighted(self.draw, DEFINITE)
        return {"coding": [{"system": system, "code": code} for system, code in codings], "text": text}

    def _cohort(self) -> str:
        """A suspicion alone is possible, and probable with a second signal (clinical specification 1.1)."""
        course = self.course
        known = course.happened
        if known(course.diagnosis):
            return next((name for name in ("text_only", "probable") if name in course.traits), "definite")
        if known(course.suspected):
            return "probable" if known(course.eeg) or known(course.neurology) else "possible"
        return ""

    def _flags(self, written: Written, *, undated: bool) -> frozenset[str]:
        """Flags of the contract that follow from the course and from how it was written down."""
        course, traits, known = self.course, self.course.traits, self.course.happened
        first_line, first_treatment = written.first_line, written.first_treatment
        one_episode = course.route == "ed_inpatient" and (course.neurology - course.provider).days <= 1
        revoked = known(course.second_referral)
        raised = {
            "appointment_no_show": "no_show" in traits and known(course.missed),
            "detour_referral": known(course.detour),
            "died": course.death,
            "encounter_date_as_referral": undated,
            "header_code": any(item.get("code") == "G40.82" for item in self.codes.get("coding", ())),
            "left_truncated": "transfer_in" in traits and one_episode and known(course.neurology),
            "nonstandard_first": first_treatment and (first_line is None or first_treatment < first_line),
            "onset_from_text": written.onset_from_text,
            "ordered_not_given": written.order_alone,
            "race_text_mappable": self.person.race_record == "text_only" and self.person.race_ethnicity in TEXT_OF_RACE,
            "re_referral": revoked and "replaces_chain" in traits,
            "referral_after_visit": "referral_after_visit" in traits and known(course.referral),
            "referral_revoked": revoked,
            "transferred_out": course.transfer_out,
            "treated_before_diagnosis": "treated_before_diagnosis" in traits and first_line,
            "treated_before_eeg": first_line and first_line < course.eeg and known(course.eeg),
            "unconfirmed_only": self._cohort() in ("possible", "probable") and not known(course.diagnosis),
        }
        return frozenset(name for name, holds in raised.items() if holds)

    def _before_the_spasms(self) -> None:
        course, chart = self.course, self.chart
        if course.etiology:
            name = "Tuberous sclerosis" if course.etiology == "Q85.1" else "Hypoxic ischemic encephalopathy"
            day = course.birth + timedelta(days=3)
            chart.condition(concept(ICD10, course.etiology, name), day, None, category="problem-list-item")
        for day in course.follow_up:
            visit = neurology_visit(chart, day, self._evidence(), self.draw, text="Follow-up visit")
            chart.condition(concept(ICD10, course.etiology), day, visit)
        ill = course.onset - timedelta(days=30 + self.draw.randrange(60))
        if "croup_before" in course.traits and ill > course.birth + timedelta(days=90):
            croup(chart, ill)

    def _evidence(self) -> str:
        return self.rates.table("neurology_evidence").pick(self.draw)

    def _first_visits(self) -> None:
        """The visits of concern: the first, perhaps taken for reflux or colic, and the one with a paroxysmal code."""
        course, chart, draw = self.course, self.chart, self.draw
        if course.contact < course.provider:
            code, text, _ = pick_weighted(draw, MIMICS)
            visit = chart.encounter("AMB", course.contact, 600 + draw.randrange(12) * 20, place="clinic")
            chart.condition(concept(ICD10, code, text), course.contact, visit)
        if "direct_neurology" in course.traits:
            return
        if course.route == "ed_inpatient" and (course.neurology - course.provider).days <= 2:
            visit = self._emergency(course.provider)
        else:
            by = f"pediatrician-{1 + draw.randrange(3)}"
            kind = "VR" if draw.random() < 0.06 else "AMB"
            visit = chart.encounter(kind, course.provider, 540 + draw.randrange(14) * 30, by=by, place="clinic")
        self._concern(course.provider, visit, in_reason=draw.random() < 0.12)
        if course.suspected == course.provider:
            self._suspicion(course.provider, visit)

    def _concern(self, day: date, visit: Fhir | None, *, in_reason: bool = False) -> None:
        code, text, _ = pick_weighted(self.draw, PAROXYSMAL)
        if visit is None:
            return
        self.visits[day] = visit
        if in_reason:
            visit["reasonCode"] = [concept(ICD10, code, text)]
        else:
            self.chart.condition(concept(ICD10, code, text), day, visit)

    def _suspicion(self, day: date, visit: Fhir | None) -> None:
        status = self.draw.choice(("provisional", "differential", "unconfirmed"))
        if visit is not None:
            self.chart.condition(self.codes, day, visit, verification=status)

    def _emergency(self, day: date) -> Fhir | None:
        """An emergency visit, some of them late at night, when UTC already has the next date."""
        late = "late_night_visit" in self.course.traits
        minute = 1260 + self.draw.randrange(11) * 10 if late else 480 + self.draw.randrange(24) * 20
        return self.chart.encounter(
            "EMER", day, minute, 150, by="emergency-1", text="Emergency visit", place="emergency"
        )

    def _referral(self, day: date) -> tuple[str, bool]:
        """Returns how the referral is known for neurology, and whether it lacks a date of its own."""
        course, draw = self.course, self.draw
        evidence = self.rates.table("referral_evidence").pick(draw)
        if course.detour:
            referral_elsewhere(self.chart, course.detour, self.visits.get(course.detour), "gastroenterology")
        visit = self._visit_for(day)
        if course.suspected == day and day != course.provider:
            self._suspicion(day, visit)
        # Not in a chain: there the first order that has a date would date it.
        chain = course.traits & {"referral_child_order", "replaces_chain"}
        undated = "referral_without_date" in course.traits and visit is not None and not chain
        write_referral(self.chart, course, day, visit, evidence, draw, dated=not undated)
        return evidence, undated

    def _visit_for(self, day: date) -> Fhir | None:
        """The visit at which a referral was written; a telephone visit is made where there was none."""
        if day in self.visits or "referral_after_visit" in self.course.traits:
            return self.visits.get(day)
        visit = self.chart.encounter("VR", day, 900, 15, text="Telephone visit", place="clinic")
        if visit is not None:
            self.visits[day] = visit
        return visit

    def _neurology_visit(self) -> Fhir | None:
        day = self.course.neurology
        visit = neurology_visit(self.chart, day, self._evidence(), self.draw)
        if "direct_neurology" in self.course.traits:
            self._concern(day, visit)
        return visit

    def _admission(self) -> Fhir | None:
        """To neurology, through the emergency department; the stay starts on the day that neurology came."""
        course, chart, draw = self.course, self.chart, self.draw
        day = course.neurology
        came = day if day in self.visits else day - timedelta(days=1)
        emergency = self.visits.get(came)
        if emergency is None or emergency["class"]["code"] != "EMER":
            came, emergency = day, self._emergency(day)
        stay: Fhir = {}
        if "transfer_in" in course.traits:
            stay["admitSource"] = concept(_ADMITTED_FROM, "hosp-trans")
        if course.transfer_out:
            stay["dischargeDisposition"] = concept(_DISCHARGED_TO, "other-hcf")
        by_neurologist = draw.random() < 0.5
        return chart.encounter(
            "IMP",
            day,
            1430 if came == day else 120,
            3 * 1440,
            by="neurologist-1" if by_neurologist else "hospitalist-1",
            text="Inpatient stay",
            service=None if by_neurologist else NEUROLOGY_SERVICE,
            part_of=emergency,
            hospitalization=stay or None,
        )

    def _diagnoses(self, neurology: Fhir | None, onset: Fhir | None) -> Fhir | None:
        """The diagnosis where it was made, on the problem list, and at the next visit. Returns the first."""
        course, chart, traits = self.course, self.chart, self.course.traits
        day = course.diagnosis
        visit = neurology
        if day < course.neurology:
            visit = chart.encounter("AMB", day, 960, text="Result visit", place="clinic")
        elif day > course.neurology and course.route != "ed_inpatient":
            visit = chart.encounter("VR", day, 1000, 15, by="neurologist-1", text="Telephone visit")
        verification = None if "no_verification_status" in traits else "confirmed"
        asserted = day if "asserted_date" in traits or course.route == "ed_inpatient" else None
        found = chart.condition(self.codes, day, visit, verification=verification, asserted=asserted, onset=onset)
        if "problem_list" in traits:
            later = day + timedelta(days=self.draw.choice((0, 0, 1, 7, 30)))
            chart.condition(self.codes, later, None, category="problem-list-item", asserted=day, onset=onset)
        again = max(day, course.neurology) + timedelta(days=14 + self.draw.randrange(14))
        follow = neurology_visit(chart, again, "practitioner", self.draw, text="Follow-up visit")
        if self.draw.random() < 0.7:
            chart.condition(self.codes, again, follow, verification=verification)
        return found
