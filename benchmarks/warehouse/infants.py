"""Timelines of as many infants as are asked for, drawn with a fixed seed, to fill a warehouse through its own load.

Waits are geometric with means of a few days to weeks; one in nine is still waiting, one in ten lacks a milestone.
Groups are drawn with the shares of births in the United States, roughly; sites, with equal chances.
"""

from __future__ import annotations

import random
from datetime import date, timedelta

from fhir_mapping.contract import INTERVALS, TimelineRow, Wait
from fhir_mapping.model import MappedInfant

HORIZON = date(2026, 12, 1)
_RACES = {"nh_white": 50, "hispanic": 26, "nh_black": 14, "nh_asian": 6, "unknown": 3, "declined": 1}
_PAYERS = {"private": 50, "public": 42, "self_pay": 4, "unknown": 4}
_LANGUAGES = {"en": 78, "es": 14, "zh": 2, "ar": 1, "unknown": 5}
_MEAN_DAYS = {"onset_to_provider": 9, "provider_to_neurology": 8, "provider_to_referral": 3, "referral_to_neurology": 6}


def mapped_infants(count: int, sites: int) -> dict[str, list[MappedInfant]]:
    """`count` mapped infants by source, `sites` sources; the same for the same numbers."""
    chance = random.Random(20261201)  # noqa: S311 - not for secrets
    found: dict[str, list[MappedInfant]] = {f"site{n:02}": [] for n in range(sites)}
    sources = list(found)
    for n in range(count):
        source = chance.choice(sources)
        row = _row(source, f"i{n:06}", chance)
        found[source].append(MappedInfant(row.infant, row, None, (), attributes={"spd15": row.race_ethnicity}))
    return found


def _one(shares: dict[str, int], chance: random.Random) -> str:
    return chance.choices(list(shares), list(shares.values()))[0]


def _row(source: str, infant: str, chance: random.Random) -> TimelineRow:
    first = HORIZON - timedelta(days=chance.randrange(1, 5 * 365))
    age = chance.randrange(60, 400)
    waits = {interval.name: _wait(interval.name, first, chance) for interval in INTERVALS}
    seen = waits["provider_to_neurology"]
    race = _one(_RACES, chance)
    return TimelineRow(
        source=source,
        infant=infant,
        cohort="possible" if chance.random() < 0.1 else "definite",
        birth_date=first - timedelta(days=age),
        sex=chance.choice(("female", "male")),
        onset_low=None,
        onset_high=None,
        first_provider=first,
        suspected=None,
        referral=None,
        booked=None,
        neurology=first + timedelta(days=seen.low) if seen.status == "event" and seen.low is not None else None,
        eeg=None,
        diagnosis=first,
        first_line=None,
        first_line_drug=None,
        first_treatment=None,
        first_treatment_drug=None,
        censored_on=HORIZON,
        pathway=chance.choice(("referred", "ed_inpatient", "no_referral_record")),
        referral_evidence=None,
        age_days=age,
        race_ethnicity=race,
        bipoc="unknown" if race in ("unknown", "declined") else "no" if race == "nh_white" else "yes",
        payer=_one(_PAYERS, chance),
        language=_one(_LANGUAGES, chance),
        interpreter=chance.choice(("yes", "no", "no", "no", "unknown")),
        waits=waits,
    )


def _wait(name: str, first: date, chance: random.Random) -> Wait:
    if chance.random() < 0.1:
        return Wait("missing", "not_applicable")
    mean = _MEAN_DAYS.get(name, 12)
    days = int(chance.expovariate(1 / mean))
    so_far = (HORIZON - first).days
    if days > so_far or chance.random() < 1 / 9:
        days = min(days, so_far)
        return Wait("censored", "yes" if days > 7 else "pending", days, days)
    return Wait("event", "yes" if days > 7 else "no", days, days)
