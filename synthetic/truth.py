"""`truth.csv`: what happened to every infant, in the columns of the timeline's contract, and what lies behind them.

A cell is empty for what had not happened by the end of the data. Columns of the contract say what a careful reader can
recover from the record (`race_ethnicity` is `unknown` where registration left it out); those named in `BEHIND` say
what the record can't.
"""

from __future__ import annotations

import csv
from datetime import date
from typing import TYPE_CHECKING, TextIO

from synthetic.course import Course, IessCourse

if TYPE_CHECKING:
    from synthetic.iess_record import Written
    from synthetic.people import Person

CONTRACT = (
    "infant",
    "cohort",
    "birth_date",
    "sex",
    "onset_low",
    "onset_high",
    "first_provider",
    "suspected",
    "referral",
    "booked",
    "neurology",
    "eeg",
    "diagnosis",
    "first_line",
    "first_line_drug",
    "first_treatment",
    "first_treatment_drug",
    "censored_on",
    "pathway",
    "referral_evidence",
    "age_days",
    "race_ethnicity",
    "bipoc",
    "payer",
    "language",
    "interpreter",
    "flags",
)
BEHIND = (
    "site",
    "kind",
    "onset",
    "first_contact",
    "eventual_wait_days",
    "true_race_ethnicity",
    "group_exposed",
    "effect_applies",
    "death",
    "transfer_out",
)
COLUMNS = (*CONTRACT, *BEHIND)


class TruthFile:
    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._writer.writerow(COLUMNS)

    def write(self, row: dict[str, object]) -> None:
        self._writer.writerow([_text(row.get(column)) for column in COLUMNS])


def truth_row(person: Person, course: Course, written: Written, site: str, end: date) -> dict[str, object]:
    row: dict[str, object] = {
        "infant": person.id,
        "cohort": written.cohort,
        "birth_date": course.birth,
        "sex": person.sex,
        "censored_on": min(course.stop, _second_birthday(course.birth), end),
        "race_ethnicity": person.race_as_recorded,
        "bipoc": _bipoc(person.race_as_recorded),
        "payer": person.payer,
        "language": person.language,
        "interpreter": person.interpreter,
        "flags": ";".join(sorted(written.flags)),
        "site": site,
        "kind": course.kind,
        "first_contact": course.happened(course.contact),
        "true_race_ethnicity": person.race_ethnicity,
        "death": course.death,
    }
    if isinstance(course, IessCourse):
        row.update(_milestones(course, written))
    return row


def _milestones(course: IessCourse, written: Written) -> dict[str, object]:
    known = course.happened
    provider, referral = known(course.provider), known(course.referral)
    neurology = known(next(iter(course.follow_up), course.neurology))  # the first ever, by any route
    first_line, first_treatment = written.first_line, written.first_treatment
    return {
        "onset": course.onset,
        "onset_low": written.onset_low,
        "onset_high": written.onset_high,
        "first_provider": provider,
        "suspected": known(course.suspected),
        "referral": referral,
        "booked": known(course.booked) if "appointment_recorded" in course.traits else None,
        "neurology": neurology,
        "eeg": known(course.eeg),
        "diagnosis": known(course.diagnosis),
        "first_line": first_line,
        "first_line_drug": course.first_line_drug if first_line else "",
        "first_treatment": first_treatment,
        "first_treatment_drug": course.first_treatment_drug if first_treatment else "",
        "pathway": course.route if referral or (neurology and not course.referral) else "no_referral_record",
        "referral_evidence": written.referral_evidence,
        "age_days": (provider - course.birth).days if provider else None,
        "eventual_wait_days": course.wait,
        "group_exposed": course.exposed,
        "effect_applies": course.in_effect,
        "transfer_out": course.transfer_out,
    }


def _bipoc(race: str) -> str:
    if race in ("unknown", "declined"):
        return "unknown"
    return "no" if race == "nh_white" else "yes"


def _second_birthday(birth: date) -> date:
    try:
        return birth.replace(year=birth.year + 2)
    except ValueError:
        return date(birth.year + 2, 3, 1)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
