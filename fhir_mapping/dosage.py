"""How much, how long and by which route: what tells a high-dose steroid from a course for croup (clinical.md 1.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_mapping.chart import words_of
from fhir_mapping.elements import number, obj, objs, text
from fhir_mapping.releases import medication_dosages

if TYPE_CHECKING:
    from fhir_mapping.chart import Chart
    from fhir_mapping.elements import Json

_DAYS = {"s": 1 / 86400, "min": 1 / 1440, "h": 1 / 24, "d": 1.0, "wk": 7.0, "mo": 30.0, "a": 365.0}
_DAY_WORDS = {
    "day": "d",
    "days": "d",
    "hour": "h",
    "hours": "h",
    "week": "wk",
    "weeks": "wk",
    "month": "mo",
    "months": "mo",
}
_TIMES_A_DAY = {
    "QD": 1,
    "BID": 2,
    "TID": 3,
    "QID": 4,
    "AM": 1,
    "PM": 1,
    "QOD": 0.5,
    "Q4H": 6,
    "Q6H": 4,
    "Q8H": 3,
    "Q12H": 2,
}
_PER_DAY_WORDS = (
    (re.compile(r"\bqid\b|four times|\b4\s*(?:times|x)|(?:every|q)\s*6\s*h", re.I), 4.0),
    (re.compile(r"\btid\b|three times|\b3\s*(?:times|x)|(?:every|q)\s*8\s*h", re.I), 3.0),
    (re.compile(r"\bbid\b|twice|two times|\b2\s*(?:times|x)|(?:every|q)\s*12\s*h", re.I), 2.0),
)
_PER_KG_DAY = re.compile(r"(\d+(?:\.\d+)?)\s*mg\s*/\s*kg\s*(?:/|per)\s*(?:d|day|24)", re.I)
_PER_KG = re.compile(r"(\d+(?:\.\d+)?)\s*mg\s*/\s*kg", re.I)
_PER_DAY = re.compile(r"(\d+(?:\.\d+)?)\s*mg\s*(?:/|per)\s*d", re.I)
_MG = re.compile(r"(\d+(?:\.\d+)?)\s*mg\b(?!\s*/)", re.I)
_FOR = re.compile(r"(?:for|x|×)\s*(\d+)\s*(days?|weeks?|d\b|wk)", re.I)
#: "15 MG/5 ML", "3 MG/ML": how RxNorm and pharmacies write the strength of a solution.
_STRENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*mg\s*(?:/|per)\s*(\d+(?:\.\d+)?)?\s*ml", re.I)
_TABLET = re.compile(r"(\d+(?:\.\d+)?)\s*mg\b(?!\s*/)", re.I)
_LOCAL_WORDS = re.compile(
    r"ophth|\beyes?\b|\botic\b|\bears?\b|topical|\bcream\b|ointment|inhal|nasal|nebul|drops?\b.*(?:eye|ear)|1\s*%|0\.12\s*%|rectal",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Amount:
    """Daily dose and days of supply as far as they are told."""

    mg_per_day: float = 0.0
    mg_per_kg_day: float = 0.0
    days: float = 0.0
    times: float = 1.0  # of one administration: how often a day its dosage says that it is due

    @property
    def told(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.mg_per_day or self.mg_per_kg_day or self.days)

    def as_due(self) -> Amount:
        """The day's amount when one administration is repeated as often as its dosage says ("10 mg QID")."""
        return Amount(self.mg_per_day * self.times, self.mg_per_kg_day * self.times, self.days)

    def high_dose(self) -> bool:
        """At least 2 mg/kg a day, 20 mg a day, or 10 days' supply."""
        return self.mg_per_kg_day >= 2 or self.mg_per_day >= 20 or self.days >= 10

    def with_more(self, other: Amount) -> Amount:
        return Amount(
            max(self.mg_per_day, other.mg_per_day),
            max(self.mg_per_kg_day, other.mg_per_kg_day),
            max(self.days, other.days),
        )


def is_local(body: Json, drug_words: str, form: Json, chart: Chart) -> bool:
    """Whether it acts where it is put (eye drops, creams, inhalers): never a treatment of spasms."""
    routes = [obj(item.get("route")) for item in medication_dosages(body)]
    roles = chart.roles_of([*routes, form])
    if "route_local" in roles:
        return True
    if "route_systemic" in roles:
        return False
    said = " ".join(text(item.get("text")) for item in medication_dosages(body))
    words = f"{drug_words} ; {words_of([*routes, form])} ; {said}"
    return bool(_LOCAL_WORDS.search(words))


def amount_of(body: Json, drug_words: str) -> Amount:
    """The largest daily dose that the dosages tell, and the longest supply."""
    found = Amount(days=_supply_days(body))
    for dosage in medication_dosages(body):
        found = found.with_more(_of_dosage(dosage, drug_words))
    return found


def given_mg(body: Json, drug_words: str) -> Amount:
    """One administration: its dose in mg, to be summed over the day (mg/kg likewise)."""
    mg, per_kg, times = 0.0, 0.0, 1.0
    for dosage in medication_dosages(body):
        times = max(times, _times_a_day(dosage, {}))
        value, unit = _quantity(obj(dosage.get("dose")))
        more_mg, more_kg = _mg(value, unit, drug_words)
        if not (more_mg or more_kg):
            more_kg = _first(_PER_KG, text(dosage.get("text")))
            more_mg = 0.0 if more_kg else _first(_MG, text(dosage.get("text")))
        mg, per_kg = mg + more_mg, per_kg + more_kg
    return Amount(mg, per_kg, times=times)


def _supply_days(body: Json) -> float:
    supplies = [obj(body.get("daysSupply")), obj(obj(body.get("dispenseRequest")).get("expectedSupplyDuration"))]
    return max(_duration(item) for item in supplies)


def _duration(quantity: Json) -> float:
    value = number(quantity.get("value"))
    unit = text(quantity.get("code")) or text(quantity.get("unit")) or "d"
    return (value or 0.0) * _DAYS.get(_DAY_WORDS.get(unit.lower(), unit.lower()), 0.0)


def _of_dosage(dosage: Json, drug_words: str) -> Amount:
    repeat = obj(obj(dosage.get("timing")).get("repeat"))
    times = _times_a_day(dosage, repeat)
    mg, per_kg = 0.0, 0.0
    for item in objs(dosage.get("doseAndRate")) or [dosage]:
        value, unit = _quantity(obj(item.get("doseQuantity")) or obj(obj(item.get("doseRange")).get("low")))
        one_mg, one_kg = _mg(value, unit, drug_words)
        daily = 1.0 if "d" in unit.rsplit("/", 1)[-1:] or unit.endswith("/day") else times
        mg, per_kg = max(mg, one_mg * daily), max(per_kg, one_kg * daily)
    said = _of_words(_instruction(dosage), times)
    if mg or per_kg:
        # The structured dose stands: of the text, which repeats it, only what it says of a whole day by weight is new.
        said = Amount(0.0, _first(_PER_KG_DAY, text(dosage.get("text"))), said.days)
    return Amount(mg, per_kg, _bounds(repeat)).with_more(said)


def _instruction(dosage: Json) -> str:
    return text(dosage.get("text")) or text(dosage.get("patientInstruction"))


def _quantity(quantity: Json) -> tuple[float, str]:
    unit = (text(quantity.get("unit")) or text(quantity.get("code"))).lower().replace(" ", "")
    return number(quantity.get("value")) or 0.0, unit


def _mg(value: float, unit: str, drug_words: str) -> tuple[float, float]:
    """(mg, mg/kg) of a quantity: volumes and tablets by the strength in the drug's name."""
    if unit.startswith("mg/kg"):
        return 0.0, value
    if unit in {"mg", "milligram", "milligrams", "mg/d", "mg/day"}:
        return value, 0.0
    if unit == "g":
        return value * 1000, 0.0
    if unit in {"ml", "milliliter"}:
        strength = _STRENGTH.search(drug_words)
        return (value * float(strength[1]) / (float(strength[2] or 1) or 1), 0.0) if strength else (0.0, 0.0)
    if unit.startswith(("tab", "{tab", "{tbl")):
        return value * _first(_TABLET, drug_words), 0.0
    return 0.0, 0.0


def _times_a_day(dosage: Json, repeat: Json) -> float:
    frequency, period = number(repeat.get("frequency")), number(repeat.get("period"))
    unit = _DAYS.get(text(repeat.get("periodUnit")))
    if unit is not None:
        return (frequency or 1.0) / ((period or 1.0) * unit)
    for coding in objs(obj(obj(dosage.get("timing")).get("code")).get("coding")):
        known = _TIMES_A_DAY.get(text(coding.get("code")).upper())
        if known:
            return float(known)
    words = f"{words_of([obj(obj(dosage.get('timing')).get('code'))])} {_instruction(dosage)}"
    return next((times for pattern, times in _PER_DAY_WORDS if pattern.search(words)), 1.0)


def _bounds(repeat: Json) -> float:
    return _duration(obj(repeat.get("boundsDuration")))


def _of_words(words: str, times: float) -> Amount:
    days = 0.0
    lasting = _FOR.search(words)
    if lasting:
        days = float(lasting[1]) * (7 if lasting[2].lower().startswith("w") else 1)
    per_kg = _first(_PER_KG_DAY, words) or _first(_PER_KG, words) * times
    mg = _first(_PER_DAY, words) or _first(_MG, words) * times
    return Amount(mg, per_kg, days)


def _first(pattern: re.Pattern[str], words: str) -> float:
    found = pattern.search(words)
    return float(found[1]) if found else 0.0
