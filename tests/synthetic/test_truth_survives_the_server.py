"""Cohort -> a FHIR server that nobody here wrote -> pull by search or by Bulk Data -> mapping: the same timelines."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from fhir_mapping.codes import load
from fhir_mapping.model import MappingSettings
from fhir_mapping.run import map_folder
from fhir_source.landing import LandingZone
from fhir_source.pull import pull
from synthetic.fhir_server import FhirServer
from synthetic.generate import generate
from synthetic.options import Site, SynthOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fhir_mapping.codes import Codes
    from fhir_source.source import Kind

pytestmark = [pytest.mark.integration, pytest.mark.slow]

COHORT = SynthOptions(infants=150, iess_share=0.4, seed=31, sites=(Site("mesa", "America/Denver"),))
MILESTONES = ("cohort", "first_provider", "referral", "booked", "neurology", "eeg", "first_line", "payer", "pathway")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirServer]:
    home = tmp_path_factory.mktemp("served")
    report = generate(home / "cohort", COHORT)
    with FhirServer(
        home / "server", smart="ES384", extra={"server_behaviour": {"absolute_references": True}}
    ) as started:
        assert not started.load(report.folders[0]).refused
        yield started


def _timelines(folder: Path, out: Path) -> dict[str, dict[str, str]]:
    site = COHORT.sites[0]
    # The server dates every resource on the day of loading; the record itself ends earlier.
    map_folder(folder, out, MappingSettings(source=site.name, timezone=site.timezone, as_of=COHORT.end))
    with out.open(newline="") as file:
        return {row["infant"]: row for row in csv.DictReader(file)}


def _spelled(codes: Codes) -> list[tuple[str, str]]:
    """The cohort's codes as sites write them: a token search compares letter by letter."""
    pairs = codes.pairs("iess_definite", "iess_ambiguous", "iess_probable", "iess_late_onset")
    return sorted(
        {
            (uri, spelling)
            for system, code in pairs
            for uri in (system, *codes.spellings(system))
            for spelling in (code, code.replace(".", ""), code.lower())
        }
    )


@pytest.mark.parametrize("kind", ["search", "bulk"])
def test_pulled_timelines_are_those_of_the_files(server: FhirServer, tmp_path: Path, kind: Kind) -> None:
    landing = LandingZone(str(tmp_path / "landing"))
    codes = load()
    manifest = pull(
        server.source("mesa", kind, timezone="America/Denver"),
        landing,
        pull_id="20260105T070000Z",
        since=None,
        now=datetime(2026, 1, 5, 7, tzinfo=UTC),
        cohort_codes=_spelled(codes),
    )
    assert manifest.complete
    cohort = server.folder.parent / "cohort"
    pulled = _timelines(landing.folder("mesa", manifest.pull_id), tmp_path / "pulled.csv")
    filed = _timelines(cohort / "mesa", tmp_path / "filed.csv")
    with (cohort / "truth.csv").open(newline="") as file:
        truth = {row["infant"]: row for row in csv.DictReader(file)}
    coded = {infant for infant, row in truth.items() if row["cohort"] in ("definite", "probable", "possible")}
    assert len(coded) > 50
    assert coded <= set(pulled)
    for infant in coded:
        found = {name: pulled[infant][name] for name in MILESTONES}
        assert found == {name: filed[infant][name] for name in MILESTONES}
        if truth[infant]["cohort"] == "definite":
            assert found == {name: truth[infant][name] for name in MILESTONES}
