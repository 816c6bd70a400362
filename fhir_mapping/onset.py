"""When symptoms began, as far as the record says (M0): never more than that, never the day it was written down."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from fhir_mapping.dates import DateRange, UnreadableDate, add_months, parse
from fhir_mapping.elements import Json, number, obj, text

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Literal["d", "wk", "mo", "a"]

_UNITS: dict[str, Unit] = {
    "d": "d",
    "day": "d",
    "days": "d",
    "wk": "wk",
    "wks": "wk",
    "w": "wk",
    "week": "wk",
    "weeks": "wk",
    "mo": "mo",
    "mos": "mo",
    "m": "mo",
    "month": "mo",
    "months": "mo",
    "a": "a",
    "y": "a",
    "yr": "a",
    "yrs": "a",
    "year": "a",
    "years": "a",
}
_WORDS = {
    name: index + 1
    for index, name in enumerate(
        [
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
}
_NUMBER = rf"(?:\d+(?:\.\d+)?|{'|'.join(_WORDS)})"
_AGE = re.compile(
    rf"\b({_NUMBER})(?:\s*(?:-|to|or|–)\s*({_NUMBER}))?\s*-?\s*"
    r"(days?|d|weeks?|wks?|w|months?|mos?|m|years?|yrs?|y)\b(?!\s*(?:ago|before|prior|earlier))",
    re.IGNORECASE,
)
_DATE = re.compile(r"\b\d{4}-\d{2}(?:-\d{2})?\b")
#: "for 2 weeks" tells how long, not how old.
_DURATION = re.compile(r"\b(?:for|since|last|past|x)\s+(?:the\s+)?(?:last\s+|past\s+)?$", re.IGNORECASE)

#: "since 4 months of age" tells how old, after all.
_OF_AGE = re.compile(r"\s*(?:of\s+age|old)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Onset:
    """The days on which symptoms can have begun; `certainty` is `low` when it was read out of free text."""

    when: DateRange
    rule: str
    certainty: Literal["coded", "low"] = "coded"
    width_days: int = 0  # of a recorded period


def read_onset(body: Json, birth: DateRange | None, timezone: str, unreadable: Callable[[str], None]) -> Onset | None:
    """Condition.onset[x]. Calls `unreadable` with the path of an onset that is there and tells nothing."""
    readers: tuple[tuple[str, Callable[[object, DateRange | None, str], Onset | None]], ...] = (
        ("onsetDateTime", _of_date),
        ("onsetPeriod", _of_period),
        ("onsetAge", _of_age),
        ("onsetRange", _of_range),
        ("onsetString", _of_string),
    )
    for name, reader in readers:
        if body.get(name) is None:
            continue
        try:
            found = reader(body[name], birth, timezone)
        except (UnreadableDate, OverflowError, ValueError):
            found = None
        if found is not None:
            return found
        unreadable(f"Condition.{name}")
    return None


def _of_date(value: object, birth: DateRange | None, timezone: str) -> Onset | None:
    return Onset(parse(value, timezone), "M0.1") if isinstance(value, str) else None


def _of_period(value: object, birth: DateRange | None, timezone: str) -> Onset | None:
    """The start of the period; its width is kept beside it (ruling 1). With an end alone, any day up to it."""
    period = obj(value)
    end = parse(text(period["end"]), timezone) if text(period.get("end")) else None
    if text(period.get("start")):
        start = parse(text(period["start"]), timezone)
        return Onset(start, "M0.2", width_days=max(0, (end.high - start.low).days) if end else 0)
    if end is not None and birth is not None and birth.low <= end.high:
        return Onset(DateRange(birth.low, end.high, "interval"), "M0.2")
    return None


def _of_age(value: object, birth: DateRange | None, timezone: str) -> Onset | None:
    age = _quantity(obj(value))
    if age is None or birth is None:
        return None
    low, high = _days_of(age[0], age[1], birth)
    comparator = text(obj(value).get("comparator"))
    if comparator in {"<", "<="}:
        low = birth.low
    elif comparator:
        return None
    return Onset(_range(low, high), "M0.3")


def _of_range(value: object, birth: DateRange | None, timezone: str) -> Onset | None:
    ends = [_quantity(obj(obj(value).get(name))) for name in ("low", "high")]
    if birth is None or ends == [None, None]:
        return None
    low = _days_of(*ends[0], birth)[0] if ends[0] else birth.low
    if ends[1] is None:
        return None  # "from 4 months": no last day
    return Onset(_range(low, _days_of(*ends[1], birth)[1]), "M0.4")


def _of_string(value: object, birth: DateRange | None, timezone: str) -> Onset | None:
    words = text(value)
    dated = _DATE.search(words)
    if dated:
        return Onset(parse(dated.group(), timezone), "M0.5", "low")
    found = next((age for age in _AGE.finditer(words) if not _tells_how_long(words, age)), None)
    if found is None or birth is None:
        return None
    unit = _UNITS[found[3].lower()]
    first = _spoken(found[1])
    last = _spoken(found[2]) if found[2] else first
    return Onset(_range(_days_of(first, unit, birth)[0], _days_of(last, unit, birth)[1]), "M0.5", "low")


def _tells_how_long(words: str, age: re.Match[str]) -> bool:
    return bool(_DURATION.search(words[: age.start()])) and not _OF_AGE.match(words, age.end())


def _spoken(word: str) -> float:
    return float(_WORDS.get(word.lower()) or word)


def _quantity(quantity: Json) -> tuple[float, Unit] | None:
    """(value, unit) of an Age: UCUM code, else the unit as written. A negative or unmeasured age is none."""
    value = number(quantity.get("value"))
    unit = _UNITS.get(text(quantity.get("code")).lower()) or _UNITS.get(text(quantity.get("unit")).lower())
    return (value, unit) if value is not None and unit is not None and 0 <= value < 200 * 366 else None


def _days_of(value: float, unit: Unit, birth: DateRange) -> tuple[date, date]:
    """The days at which an age in completed units is true: 4 months is the day of 4 months to the day before 5."""
    step = 1.0 if value == int(value) else 0.1  # 4.5 months is said to a tenth
    return _at(value, unit, birth.low), max(
        _at(value, unit, birth.high), _at(round(value + step, 6), unit, birth.high) - timedelta(days=1)
    )


def _at(value: float, unit: Unit, birth: date) -> date:
    if unit in ("d", "wk"):
        return birth + timedelta(days=int(value * (7 if unit == "wk" else 1)))
    months = value * (12 if unit == "a" else 1)
    whole = int(months)
    return add_months(birth, whole) + timedelta(days=round((months - whole) * 30.4375))


def _range(low: date, high: date) -> DateRange:
    if low > high:
        raise UnreadableDate("an age range ends before it begins")
    return DateRange(low, high, "day" if low == high else "interval")
