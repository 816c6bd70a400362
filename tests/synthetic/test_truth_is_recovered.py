"""The whole way round: cohort -> FHIR -> mapping, and the mapping finds what truly happened.

Generator and rules share no code and no tables; where they meet is the FHIR between them.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pytest

from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from synthetic.generate import generate
from synthetic.options import Dirt, Site, SynthOptions
from synthetic.truth import CONTRACT

if TYPE_CHECKING:
    from pathlib import Path

SITES = (
    Site("harbor", "America/New_York"),
    Site("mesa", "America/Denver"),
    Site("shore", "Pacific/Auckland", style="bare"),
)
COHORT = SynthOptions(infants=360, iess_share=0.75, seed=21, sites=SITES)
DIRT = Dirt(
    malformed_lines=0.01,
    nonconformant=0.02,
    duplicates=0.02,
    late_updates=0.05,
    entered_in_error=0.1,
    replaced_patients=0.1,
)
#: Kinds of other infants whose codes can't be told from an early IESS record (clinical specification 1.1).
_LIKE_IESS = {"other_epilepsy"}

Row = dict[str, str]


@dataclass(frozen=True)
class Recovered:
    truth: dict[str, Row]
    mapped: dict[str, Row]

    def pairs(self, *cohorts: str) -> list[tuple[Row, Row]]:
        """Truth and row of the infants whose record names IESS, of these classes or of all."""
        return [
            (row, self.mapped[infant])
            for infant, row in self.truth.items()
            if row["cohort"] and (not cohorts or row["cohort"] in cohorts)
        ]


def _rows(path: Path) -> dict[str, Row]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {row["infant"]: row for row in rows}
    assert len(found) == len(rows), "an infant has two rows"
    return found


def _recover(folder: Path, options: SynthOptions) -> Recovered:
    generate(folder / "fhir", options)
    mapped: dict[str, Row] = {}
    for site in options.sites:
        out = folder / f"{site.name}.csv"
        # A bare export says nowhere how far it reaches; of the others the mapping has to find out.
        as_of = options.last_day if site.style == "bare" else None
        settings = MappingSettings(site.name, site.timezone, options.fhir_version, as_of)
        map_folder(folder / "fhir" / site.name, out, settings)
        mapped |= _rows(out)
    return Recovered(_rows(folder / "fhir" / "truth.csv"), mapped)


@pytest.fixture(
    scope="module",
    params=[("R4", 21, Dirt()), ("R5", 22, Dirt()), ("R4", 23, DIRT), ("R5", 24, DIRT)],
    ids=["R4", "R5", "R4-dirty", "R5-dirty"],
)
def recovered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recovered:
    release, seed, dirt = request.param
    options = SynthOptions(
        infants=COHORT.infants, iess_share=COHORT.iess_share, seed=seed, sites=SITES, fhir_version=release, dirt=dirt
    )
    return _recover(tmp_path_factory.mktemp(f"{release}-{seed}"), options)


def test_every_infant_on_record_is_found(recovered: Recovered) -> None:
    expected = {infant for infant, row in recovered.truth.items() if row["cohort"]}
    assert len(expected) > 250
    assert expected <= set(recovered.mapped)


def test_nobody_else_is_taken_for_a_case(recovered: Recovered) -> None:
    for infant, row in recovered.mapped.items():
        truth = recovered.truth[infant]
        if not truth["cohort"]:
            assert row["cohort"] != "definite"
            assert truth["kind"] in {"iess", *_LIKE_IESS}, f"{infant}: {truth['kind']}"


@pytest.mark.parametrize("column", [column for column in CONTRACT if column not in ("infant", "flags")])
def test_a_column_is_recovered(recovered: Recovered, column: str) -> None:
    # Without a definite code the class, and what is dated by it, hang on every unspecific code of the record as well.
    cohorts = ("definite",) if column in ("cohort", "diagnosis", "onset_low", "onset_high") else ()
    differing = {
        truth["infant"]: (truth[column], row[column])
        for truth, row in recovered.pairs(*cohorts)
        if truth[column] != row[column]
    }
    assert differing == {}


def test_flags_are_recovered(recovered: Recovered) -> None:
    differing = defaultdict(list)
    for truth, row in recovered.pairs("definite"):
        for flag in set(truth["flags"].split(";")) ^ set(row["flags"].split(";")):
            differing[flag].append(truth["infant"])
    assert dict(differing) == {}


def test_waits_follow_from_the_true_days(recovered: Recovered) -> None:
    for truth, row in recovered.pairs():
        status = row["status_provider_to_neurology"]
        if truth["pathway"] == "pre_existing_neurology":
            assert status == "not_applicable"
            continue
        start, stop = date.fromisoformat(truth["first_provider"]), truth["neurology"]
        if stop:
            waited = (date.fromisoformat(stop) - start).days
            assert (status, row["delayed_provider_to_neurology"]) == ("event", "yes" if waited > 7 else "no")
            assert waited == int(truth["eventual_wait_days"])
        else:
            waited = (date.fromisoformat(truth["censored_on"]) - start).days
            assert status == ("competing" if truth["death"] else "censored")
        assert row["days_provider_to_neurology_low"] == row["days_provider_to_neurology_high"] == str(waited)
