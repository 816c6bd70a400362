"""Pulls from a second server, whose ways and errors are drawn by seed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from fhir_source.errors import IessError, SourceMisbehaved, SourceUnreachable
from fhir_source.landing import LandingZone
from fhir_source.probe import probe
from fhir_source.pull import pull
from fhir_source.source import Auth, Source
from tests.fhir_source import cohort
from tests.fhir_source.conftest import NOW, PULL, QUICK
from tests.fhir_source.odd_server import OddServer, Ways

if TYPE_CHECKING:
    from pathlib import Path

    from fhir_source.landing import Manifest
    from fhir_source.source import Kind

pytestmark = pytest.mark.integration

ROWS = cohort.resources()
EVERYTHING = dict(Counter(row["resourceType"] for row in ROWS))
SECRET = Auth(kind="client_secret", client_id="iess", secret="quiet")


def _pulled(odd: OddServer, kind: Kind, folder: str) -> Manifest:
    """Run the pull until it is whole, as a scheduler would."""
    auth = SECRET if odd.ways.auth else Auth()
    source = Source("site", kind, odd.base_url, auth=auth, **{**QUICK, "max_wait_seconds": 0.02}, max_poll_seconds=0.02)
    for _ in range(20):
        try:
            return pull(source, LandingZone(folder), pull_id=PULL, since=None, now=NOW, cohort_codes=[cohort.SPASMS])
        except IessError as error:
            if not error.retriable:
                raise
    raise AssertionError("the pull never became whole")


def _try(seed: int, kind: Kind, folder: str) -> None:
    ways = Ways.drawn(seed, errors=0.12 if kind == "search" else 0.25)
    with OddServer(ROWS, ways, seed) as odd:
        manifest = _pulled(odd, kind, folder)
        assert manifest.counts == (cohort.EXPECTED if kind == "search" else EVERYTHING), ways
        LandingZone(folder).verify(manifest)
        assert len(odd.sent) == len(set(odd.sent))  # no file that was whole came twice
        assert (len(odd.jobs), len(odd.deleted)) == ((1, 1) if kind == "bulk" else (0, 0))


@pytest.mark.parametrize("kind", ["search", "bulk"])
@pytest.mark.parametrize("seed", [0, 4, 11, 52])
def test_ways_and_errors_by_seed(seed: int, kind: Kind, tmp_path: Path) -> None:
    _try(seed, kind, str(tmp_path))


def test_totals_that_are_estimates_are_counted(tmp_path: Path) -> None:
    with OddServer(ROWS, Ways(total="estimate", auth=False)) as odd:
        manifest = _pulled(odd, "search", str(tmp_path))
    assert manifest.counts == cohort.EXPECTED
    assert "Encounter: the server's totals are estimates; its counts were taken instead" in manifest.notes


def test_an_unlisted_parameter_that_finds_nothing_is_no_empty_record(tmp_path: Path) -> None:
    with OddServer(ROWS, Ways(auth=False)) as odd:
        manifest = _pulled(odd, "search", str(tmp_path))
    assert manifest.counts == cohort.EXPECTED
    assert "Coverage: found by beneficiary, and not by patient" in manifest.notes


def test_the_token_endpoint_s_retry_after_is_heeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("fhir_source.auth.asyncio.sleep", sleep)
    with OddServer(ROWS, Ways()) as odd:
        odd.busy = "7"
        source = Source(
            "site", "search", odd.base_url, auth=SECRET, **{**QUICK, "attempts": 3, "max_wait_seconds": 5.0}
        )
        landing = LandingZone(str(tmp_path))
        with pytest.raises(SourceUnreachable, match="429"):
            pull(source, landing, pull_id=PULL, since=None, now=NOW, cohort_codes=[cohort.SPASMS])
        odd.busy = "3"
        with pytest.raises(SourceUnreachable, match="429"):
            pull(replace(source, name="other"), landing, pull_id=PULL, since=None, now=NOW, cohort_codes=[])
    assert [seconds for seconds in slept if seconds] == [5.0, 5.0, 3.0, 3.0]


def test_a_long_wait_for_an_export_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    told: list[tuple[str, int]] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("fhir_source.bulk_job.asyncio.sleep", sleep)
    with OddServer(ROWS, Ways(auth=False, retry="86400")) as odd:
        source = Source("site", "bulk", odd.base_url, max_poll_seconds=120.0)
        landing = LandingZone(str(tmp_path))
        pull(
            source,
            landing,
            pull_id=PULL,
            since=None,
            now=NOW,
            cohort_codes=(),
            progress=lambda what, count: told.append((what, count)),
        )
    assert [seconds for seconds in slept if seconds] == [120.0, 120.0]  # two looks found it running; never a day
    assert told[:2] == [("seconds of waiting for the export", 120)] * 2
    assert "next look in 120 s" in caplog.text


def test_the_reference_server_s_ways(tmp_path: Path) -> None:
    """One Accept, a statement of three types, types and scopes refused as a whole for one that it doesn't have."""
    with OddServer(ROWS, Ways(reference=True)) as odd:
        manifest = _pulled(odd, "bulk", str(tmp_path))
        assert probe(Source("site", "bulk", odd.base_url, auth=SECRET)).ok
        assert len(odd.jobs) == 1
    assert manifest.counts == EVERYTHING
    assert {"Task", "HealthcareService"} <= set(manifest.left_out)
    assert not set(manifest.left_out) & set(EVERYTHING)


def test_a_server_without_a_statement_is_taken_at_the_settings_word(tmp_path: Path) -> None:
    with OddServer(ROWS, Ways(auth=False)) as odd:
        wrong = Source("site", "search", f"{odd.base_url}/nothing", **QUICK)
        landing = LandingZone(str(tmp_path))
        with pytest.raises(SourceMisbehaved, match="no CapabilityStatement"):
            pull(wrong, landing, pull_id=PULL, since=None, now=NOW, cohort_codes=[cohort.SPASMS])
        odd.silent = True
        bare = Source("site", "search", odd.base_url, fhir_version="R4", **QUICK)
        manifest = pull(bare, landing, pull_id=PULL, since=None, now=NOW, cohort_codes=[cohort.SPASMS])
        assert manifest.counts == cohort.EXPECTED  # the roles of practitioners, too
        assert {"MedicationStatement", "Task"} <= set(manifest.left_out)
        assert not set(manifest.left_out) & set(cohort.EXPECTED)


def test_a_refused_export_is_not_tried_without_the_types_that_it_lists(tmp_path: Path) -> None:
    with OddServer([row for row in ROWS if row["resourceType"] == "Location"], Ways(reference=True, auth=False)) as odd:
        with pytest.raises(SourceMisbehaved, match=r"refused the export \(400\)"):
            _pulled(odd, "bulk", str(tmp_path))
        assert odd.jobs == {}
