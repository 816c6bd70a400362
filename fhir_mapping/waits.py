"""The arithmetic of waiting: days between two local calendar dates, each known as an interval (clinical.md 2).

Pure, and shared with the measures: the same two dates give the same wait everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_mapping.contract import DELAY_THRESHOLD_DAYS, Delayed, Status, Wait

if TYPE_CHECKING:
    from datetime import date

    from fhir_mapping.dates import DateRange

MISSING = Wait("missing", "not_applicable")
NOT_APPLICABLE = Wait("not_applicable", "not_applicable")


def wait_between(
    start: DateRange | None,
    stop: DateRange | None,
    censor: date | None,
    *,
    died: bool = False,
    negative_is_zero: bool = False,
) -> Wait:
    """The wait from `start` to `stop`, in whole days.

    Without a start it is missing. A stop after `censor` (or none) leaves the wait censored there, or `competing` when
    the infant died then. A stop that can only be before the start is a data error (`missing`) unless
    `negative_is_zero`: then it counts as no wait (clinical.md 2, sign rules). A wait that may be negative begins at 0.
    """
    if start is None:
        return MISSING
    if stop is not None and (censor is None or stop.low <= censor):
        high = (stop.high - start.low).days
        if high < 0:
            return Wait("event", "no", 0, 0) if negative_is_zero else MISSING
        low = max(0, (stop.low - start.high).days)
        return Wait("event", delayed("event", low, high), low, high)
    if censor is None or censor < start.low:
        return MISSING
    status: Status = "competing" if died else "censored"
    # Contract: low = high = the days waited so far; of an uncertain start, the days that are sure.
    waited = max(0, (censor - start.high).days)
    return Wait(status, delayed(status, waited, waited), waited, waited)


def delayed(status: Status, low: int, high: int) -> Delayed:
    """Whether a wait is over 7 days: 8 is, 7 is not; `indeterminate` when the dates leave both possible.

    A censored wait of more than 7 days is delayed whatever follows; a shorter one is still open (`pending`), or will
    never be known (`not_applicable`) when the infant died.
    """
    if low > DELAY_THRESHOLD_DAYS:
        return "yes"
    if status == "censored":
        return "pending"
    if status == "competing":
        return "not_applicable"
    return "no" if high <= DELAY_THRESHOLD_DAYS else "indeterminate"


def is_negative(start: DateRange | None, stop: DateRange | None) -> bool:
    """Whether the stop can only have been before the start."""
    return start is not None and stop is not None and stop.high < start.low
