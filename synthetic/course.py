"""The true course of one infant: what happened on which local day, before anyone writes it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from synthetic.options import SynthOptions
    from synthetic.people import Person
    from synthetic.rates import Rates
    from synthetic.waits import WaitModel

_YOUNGEST_ONSET, _OLDEST_SEEN = 35, 715  # days of age
_LONGEST_ONSET_TO_CONTACT = 110  # days; the first visit stays within half a year of the diagnosis


@dataclass(slots=True, kw_only=True)
class Course:
    """Days are local dates. `stop` is the last day that can be on record."""

    kind: str  # iess, or a row of `other.*` in rates.csv
    birth: date
    stop: date
    contact: date  # first visit for the spasms, however coded; of other infants, the visit that it is about
    death: date | None = None
    traits: frozenset[str] = field(default_factory=frozenset)  # yes-or-no rates that came out yes

    def happened(self, day: date | None) -> date | None:
        """The day, if it is on record by the end of the data."""
        return day if day is not None and day <= self.stop else None


@dataclass(slots=True, kw_only=True)
class IessCourse(Course):
    """None is "does not happen"; a day after `stop` is to come, and not on record."""

    onset: date
    provider: date  # first visit at which a paroxysmal event was written down
    neurology: date
    eeg: date
    diagnosis: date
    route: str = ""  # referred, ed_inpatient, no_referral_record, pre_existing_neurology
    wait: int | None  # days from `provider` to `neurology`; None for those whom neurology followed already
    exposed: bool  # of the group that the effect falls on
    in_effect: bool  # first visit in or after the week from which the effect holds
    referral: date | None = None
    second_referral: date | None = None
    detour: date | None = None
    booked: date | None = None
    missed: date | None = None
    follow_up: tuple[date, ...] = ()  # neurology visits before the spasms
    etiology: str = ""  # ICD-10-CM
    suspected: date | None = None
    first_line: date | None = None
    first_line_drug: str = ""
    first_treatment: date | None = None
    first_treatment_drug: str = ""
    transfer_out: date | None = None


_TRAITS = (
    "appointment_recorded",
    "asserted_date",
    "cancelled_first_order",
    "croup_before",
    "earlier_event",
    "ecg",
    "eye_drops",
    "late_night_visit",
    "neurosurgery_visit",
    "no_verification_status",
    "not_given",
    "planned_referral",
    "probable",
    "problem_list",
    "referral_child_order",
    "referral_without_date",
    "second_coverage",
    "second_visit",
    "stimulation_test",
    "text_only",
    "transfer_in",
    "utc_instants",
    "waiver_after_diagnosis",
)


def draw_traits(rates: Rates, draw: Random) -> frozenset[str]:
    return frozenset(name for name in _TRAITS if draw.random() < rates[name])


def draw_iess(options: SynthOptions, rates: Rates, waits: WaitModel, person: Person, draw: Random) -> IessCourse:
    span = (options.end - options.start).days + 1
    provider = options.start + timedelta(days=int(draw.random() * span))
    week = (provider - options.start).days // 7
    exposed = getattr(person, options.dimension) in options.group
    wait = waits.days(draw.random(), exposed=exposed, site=person.site, week=week)
    # Drawn before the branches below, so that an effect on the wait moves as little else as it can.
    contact = (
        provider - timedelta(days=3 + int(draw.random() * 18)) if _yes(draw, rates["miscoded_first_visit"]) else None
    )
    noticed = min(
        int(rates["onset_to_contact_median_days"] * draw.lognormvariate(0, rates["onset_to_contact_sigma"])),
        _LONGEST_ONSET_TO_CONTACT,
    )
    age = min(max(int(draw.gammavariate(5, 38)), _YOUNGEST_ONSET), 540)
    connected = _yes(draw, rates["pre_existing_neurology"])
    traits = draw_traits(rates, draw)

    onset = (contact or provider) - timedelta(days=noticed)
    neurology = provider + timedelta(days=int(draw.random() * 6) if connected else wait)
    age = max(_YOUNGEST_ONSET, min(age, _OLDEST_SEEN - (neurology - onset).days))
    course = IessCourse(
        kind="iess",
        birth=onset - timedelta(days=age),
        stop=options.last_day,
        contact=contact or provider,
        onset=onset,
        provider=provider,
        neurology=neurology,
        eeg=neurology,
        diagnosis=neurology,
        wait=None if connected else wait,
        exposed=exposed,
        in_effect=exposed and week >= options.effect_from_week,
        traits=traits,
    )
    if connected:
        _already_with_neurology(course, rates, draw)
    else:
        _way_to_neurology(course, wait, rates, draw)
    _diagnosis(course, rates, draw)
    _treatment(course, rates, draw)
    _ends_early(course, rates, draw)
    return course


def _yes(draw: Random, probability: float) -> bool:
    return draw.random() < probability


def _already_with_neurology(course: IessCourse, rates: Rates, draw: Random) -> None:
    course.route = "pre_existing_neurology"
    tuberous = _yes(draw, rates["tuberous_sclerosis_among_pre_existing"])
    course.etiology = "Q85.1" if tuberous else draw.choice(("P91.61", "P91.62", "P91.63"))
    visits, day = [], course.birth + timedelta(days=20 + int(draw.random() * 10))
    while day < course.onset:
        visits.append(day)
        day += timedelta(days=50 + int(draw.random() * 30))
    course.follow_up = tuple(visits)


def _way_to_neurology(course: IessCourse, wait: int, rates: Rates, draw: Random) -> None:
    late = wait > 7
    if wait == 0 and _yes(draw, rates["direct_neurology"]):
        course.route = "no_referral_record"
        course.contact = course.provider
        course.traits |= {"direct_neurology"}
    elif (wait <= 2 and _yes(draw, rates["ed_if_within_2_days"])) or (late and _yes(draw, rates["ed_if_late"])):
        course.route = "ed_inpatient"
    elif _yes(draw, rates["no_referral_record"]):
        course.route = "no_referral_record"
    else:
        course.route = "referred"
        _referral(course, wait, rates, draw)


def _referral(course: IessCourse, wait: int, rates: Rates, draw: Random) -> None:
    before = 0 if _yes(draw, rates["referral_same_day"]) else int(draw.random() ** 1.5 * (wait + 1))
    course.referral = course.provider + timedelta(days=before)
    after = wait - before
    if before >= 7 and _yes(draw, rates["detour_referral"]):
        course.detour = course.provider + timedelta(days=int(draw.random() * 3))
    if after >= 4 and _yes(draw, rates["re_referral"]):
        course.second_referral = course.referral + timedelta(days=1 + int(draw.random() * (after - 2)))
        if _yes(draw, 0.5):
            course.traits |= {"replaces_chain"}  # otherwise nothing ties the second referral to the first
    elif _yes(draw, rates["referral_after_visit"]):
        course.referral = course.neurology + timedelta(days=1 + int(draw.random() * 4))
        course.traits = (course.traits | {"referral_after_visit"}) - {"appointment_recorded"}
        return
    course.booked = course.referral + timedelta(days=int(draw.random() * min(after, 3) + 0.5) if after else 0)
    if after >= 7 and _yes(draw, rates["missed_visit"]):
        course.booked = course.referral
        course.missed = course.referral + timedelta(days=2 + int(draw.random() * (after - 5)))
        course.traits |= {"appointment_recorded", "no_show" if _yes(draw, 0.6) else "cancelled_visit"}


def _diagnosis(course: IessCourse, rates: Rates, draw: Random) -> None:
    room = (course.neurology - course.provider).days
    ambulatory = course.route in ("referred", "no_referral_record")
    if ambulatory and room > 1 and _yes(draw, rates["eeg_before_neurology"]):
        course.eeg = course.provider + timedelta(days=1 + int(draw.random() * min(room - 1, 20)))
        if course.referral is not None and course.referral < course.neurology:
            course.eeg = max(course.eeg, course.referral)  # the diagnosis would have hastened a later referral
        if _yes(draw, rates["diagnosed_before_neurology"]):
            course.diagnosis = course.eeg
    else:
        course.eeg = course.neurology + timedelta(days=draw.choices((0, 1, 2, 3, 5), (55, 20, 12, 8, 5))[0])
        course.diagnosis = course.eeg
    # An unspecific code or a text can't say that it is the syndrome that is suspected.
    unclear = course.traits & {"direct_neurology", "probable", "referral_after_visit", "text_only"}
    if _yes(draw, rates["suspected"]) and not unclear:
        written = course.referral or course.provider
        if course.provider <= written < course.diagnosis:
            course.suspected = written


def _treatment(course: IessCourse, rates: Rates, draw: Random) -> None:
    late = _yes(draw, rates["late_treatment"])
    lag = 8 + int(draw.expovariate(1 / 9)) if late else draw.choices((0, 1, 2, 3, 5, 7), (38, 26, 15, 10, 8, 3))[0]
    drug = rates.table("first_line").pick(draw)
    if course.etiology == "Q85.1":
        drug = "vigabatrin"
    other = rates.table("nonstandard").pick(draw)
    later = 10 + int(draw.random() * 30) if _yes(draw, rates["first_line_later"]) else None
    fate, early = draw.random(), _yes(draw, rates["treated_before_diagnosis"])
    if fate < rates["untreated"]:
        return
    start = max(course.diagnosis + timedelta(days=lag), course.neurology)  # neurology treats
    if fate < rates["untreated"] + rates["standard_first_treatment"]:
        if early and course.neurology < course.diagnosis:
            start, drug = course.neurology, "vigabatrin"
            course.traits |= {"treated_before_diagnosis"}
        course.first_line, course.first_line_drug = start, drug
        course.first_treatment, course.first_treatment_drug = start, drug
        return
    course.first_treatment, course.first_treatment_drug = start, other
    if later is not None:
        course.first_line, course.first_line_drug = start + timedelta(days=later), drug


def _ends_early(course: IessCourse, rates: Rates, draw: Random) -> None:
    dies, leaves = _yes(draw, rates["death"]), _yes(draw, rates["transfer_out"])
    after = 1 + int(draw.random() * 180)
    if dies and course.provider + timedelta(days=after) <= course.stop:
        course.death = course.stop = course.provider + timedelta(days=after)
    elif leaves and course.route == "ed_inpatient":
        left = course.neurology + timedelta(days=3)
        if left <= course.stop:
            course.transfer_out = course.stop = left
