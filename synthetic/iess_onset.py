"""How the onset of spasms is recorded: as a day, or as less."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

from synthetic.codings import UCUM

if TYPE_CHECKING:
    from synthetic.chart import Fhir


def record_onset(form: str, birth: date, onset: date) -> tuple[Fhir | None, date | None, date | None]:
    """Elements for Condition, and the days between which the onset lies by them. `form` is a row of `onset.*`.

    A period is the days over which symptoms began to be seen: its start is the onset.
    """
    if form == "exact":
        return {"onsetDateTime": onset.isoformat()}, onset, onset
    if form == "month":
        low = onset.replace(day=1)
        return {"onsetDateTime": onset.isoformat()[:7]}, low, birthday(low, 1) - timedelta(days=1)
    if form == "year":
        return {"onsetDateTime": str(onset.year)}, date(onset.year, 1, 1), date(onset.year, 12, 31)
    if form in ("age", "text"):
        months = completed_months(birth, onset)
        age = {"value": months, "unit": "months", "system": UCUM, "code": "mo"}
        said: Fhir = {"onsetAge": age} if form == "age" else {"onsetString": f"around {months} months of age"}
        return said, birthday(birth, months), birthday(birth, months + 1) - timedelta(days=1)
    if form == "period":
        end = onset + timedelta(days=2)
        return {"onsetPeriod": {"start": onset.isoformat(), "end": end.isoformat()}}, onset, onset
    return None, None, None


def completed_months(birth: date, day: date) -> int:
    months = (day.year - birth.year) * 12 + day.month - birth.month
    return months if day >= birthday(birth, months) else months - 1


def birthday(birth: date, months: int) -> date:
    """The day on which `months` months are completed; the month's last where it has no such day."""
    year, month = divmod(birth.year * 12 + birth.month - 1 + months, 12)
    first_of_next = date(year + (month + 1) // 12, (month + 1) % 12 + 1, 1)
    last = first_of_next - timedelta(days=1)
    return last.replace(day=min(birth.day, last.day))
