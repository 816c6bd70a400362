"""Infants to act on today: what a small hospital can use, without statistics. PHI, for the clinical role only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from surveillance.outbox import Message, message_id

if TYPE_CHECKING:
    from surveillance.settings import SurveillanceSettings

COLUMNS = ["source", "infant", "reason", "since", "days_waiting", "referral", "booked", "long_past"]
NO_NEUROLOGY = "no neurology contact"
NO_TREATMENT = "no first-line treatment"
_TREATMENT_DAYS = 7
#: After so many days nobody waits for the same visit any more: shown apart, as records to be checked.
_LONG_PAST_DAYS = 84
_COHORTS = ("definite", "probable", "possible")


def waiting_infants(
    known: pd.DataFrame, *, as_of: date, settings: SurveillanceSettings, through: Mapping[str, date]
) -> pd.DataFrame:
    """Infants waiting now, longest first: columns of `COLUMNS`.

    Without neurology for more than `waiting_hours` after the first provider visit, or without first-line treatment
    more than 7 days after the diagnosis. `known` comes from `cohort.as_known`. Dates are whole days, so that "more than
    72 hours" is certain from the fourth day on. Infants who died, left or outgrew the cohort are censored before their
    source's last data, and are not waiting; nor is one who is being treated waiting for neurology. `long_past` marks
    those beyond twelve weeks, whose records are to be checked: they are no work for today.
    """
    last = pd.to_datetime(known["source"].map(dict(through)))
    here = known["cohort"].isin(_COHORTS) & (known["censored_on"].isna() | (known["censored_on"] >= last))
    today = pd.Timestamp(as_of)
    untreated = known["first_line"].isna()
    sees_nobody = here & untreated & known["neurology"].isna() & (known["prior_neurology"] == "no")
    parts = [
        _waiting(known[sees_nobody], "first_provider", today, settings.waiting_hours // 24, NO_NEUROLOGY),
        _waiting(known[here & untreated], "diagnosis", today, _TREATMENT_DAYS, NO_TREATMENT),
    ]
    rows = pd.concat(parts, ignore_index=True)
    order = ["long_past", "days_waiting", "source", "infant", "reason"]
    return rows.sort_values(order, ascending=[True, False, True, True, True], kind="stable").reset_index(drop=True)


def _waiting(known: pd.DataFrame, since: str, today: pd.Timestamp, days: int, reason: str) -> pd.DataFrame:
    waited = (today - known[since]).dt.days
    rows = known[waited > days]
    return pd.DataFrame(
        {
            "source": rows["source"],
            "infant": rows["infant"],
            "reason": reason,
            "since": rows[since].dt.date,
            "days_waiting": waited[waited > days].astype(int),
            "referral": rows["referral"].dt.date,
            "booked": rows["booked"].dt.date,
            "long_past": waited[waited > days] > _LONG_PAST_DAYS,
        },
        columns=COLUMNS,
    )


def count(rows: pd.DataFrame) -> int:
    """Infants to act on, each once; waits beyond twelve weeks are records to be checked, and not counted."""
    return int(_today(rows)[["source", "infant"]].drop_duplicates().shape[0])


def daily_message(
    rows: pd.DataFrame, *, as_of: date, settings: SurveillanceSettings, through: Mapping[str, date]
) -> Message | None:
    """The day's message to the clinical role: counts by site and reason, and where the list is. None when nobody waits.

    `rows` come from `waiting_infants`. No PHI: who waits is for those who may open the link, or call `iess worklist`.
    """
    waiting = count(rows)
    if not waiting:
        return None
    who = "1 infant is" if waiting == 1 else f"{waiting} infants are"
    where = settings.worklist_link or "`iess worklist`, for those who may see infants"
    lines = [
        fill(
            f"{who} waiting: more than {settings.waiting_hours} hours from the first visit without contact with "
            f"neurology, or more than {_TREATMENT_DAYS} days from the diagnosis without first-line treatment.",
            100,
        ),
        "",
    ]
    for (source, reason), members in _today(rows).groupby(["source", "reason"], sort=True):
        reach = through.get(str(source))
        known = f", data reach to {reach}" if reach else ""
        longest = int(members["days_waiting"].max())
        lines.append(f"- {source}: {len(members)} with {reason}, the longest for {longest} days{known}")
    lines += ["", f"Who they are: {where}", "", "Records may be on their way: look before you call a family."]
    subject = f"[IESS] {who} waiting for neurology or treatment"
    return Message(message_id("worklist", as_of.isoformat()), "worklist", subject, "\n".join(lines) + "\n")


def _today(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[~rows["long_past"].astype(bool)]
