"""Who an infant is: drawn from a stream of their own, so that no other option moves it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synthetic.options import Site, SynthOptions
    from synthetic.rates import Rates

_NAMES = list(csv.DictReader(files("synthetic").joinpath("names.csv").read_text(encoding="utf-8").splitlines()))
_FAMILY = tuple(row["name"] for row in _NAMES if row["kind"] == "family")
_GIVEN = tuple(row["name"] for row in _NAMES if row["kind"] == "given")
_MARGINALISED_PAYERS_NOT_FOR = ("nh_white", "nh_asian")


@dataclass(frozen=True, slots=True)
class Person:
    """`race_ethnicity` is who they are, `race_record` what registration made of it; `payer` is that of the start."""

    index: int
    id: str
    site: int
    sex: str
    race_ethnicity: str
    race_record: str  # coded, missing, declined, text_only, unknown
    second_race: str  # of multiracial infants, two groups; of Hispanic infants, the race recorded beside
    payer: str
    language: str
    interpreter: str
    family: str
    given: str
    mother: str

    @property
    def race_as_recorded(self) -> str:
        """What a careful reader of the record can say."""
        if self.race_record == "coded":
            return self.race_ethnicity
        return "declined" if self.race_record == "declined" else "unknown"


def stream(seed: int, index: int, purpose: str) -> Random:
    """The random stream of one infant for one purpose."""
    return Random(f"{seed}/{index}/{purpose}")  # noqa: S311 - synthetic data, not cryptography


def draw_person(options: SynthOptions, rates: Rates, site_weights: Sequence[float], index: int) -> Person:
    draw = stream(options.seed, index, "person")
    site = draw.choices(range(len(site_weights)), cum_weights=site_weights)[0]
    race = rates.table("race").pick(draw)
    payers = "payer" if race in _MARGINALISED_PAYERS_NOT_FOR else "payer_marginalised"
    language = rates.table("language_hispanic" if race == "hispanic" else "language").pick(draw)
    return Person(
        index=index,
        id=f"s{site + 1}-{index:07d}",
        site=site,
        sex="female" if draw.random() < 0.49 else "male",
        race_ethnicity=race,
        race_record=rates.table("race_record").pick(draw),
        second_race=_second_race(race, draw),
        payer=rates.table(payers).pick(draw),
        language=language,
        interpreter=_interpreter(language, draw),
        family=draw.choice(_FAMILY),
        given=draw.choice(_GIVEN),
        mother=draw.choice(_GIVEN),
    )


def cumulative_shares(sites: Sequence[Site]) -> list[float]:
    return list(accumulate(site.share for site in sites))


def _second_race(race: str, draw: Random) -> str:
    if race == "nh_multiracial":
        return draw.choice(("nh_white+nh_black", "nh_white+nh_asian", "nh_black+nh_aian", "nh_white+nh_aian"))
    if race == "hispanic":
        return draw.choices(("nh_white", "nh_black", "nh_aian", "nh_other", ""), (45, 8, 4, 13, 30))[0]
    return ""


def _interpreter(language: str, draw: Random) -> str:
    if language in ("en", "unknown"):
        return draw.choices(("unknown", "no"), (80, 20))[0]
    return draw.choices(("yes", "no", "unknown"), (65, 20, 15))[0]
