"""A pull that was interrupted is gone on with by the next, whatever time it is by then."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2]))  # helpers are imported as tests.fhir_source.<name>

from fhir_source.errors import SourceUnreachable
from fhir_source.landing import LandingZone
from pipeline import steps
from pipeline.cli.main import app
from pipeline.clock import Clock
from pipeline.settings import Settings, SourceSettings, load_settings
from synthetic.fhir_server import FhirServer
from tests.fhir_source import cohort
from tests.fhir_source.faulty import Fault, FaultyServer, at, status

pytestmark = pytest.mark.integration

FIRST = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(("kind", "broken"), [("bulk", "/Encounter.ndjson"), ("search", "/Encounter")])
def test_the_next_pull_goes_on_with_what_is_whole(kind: str, broken: str, tmp_path: Path, warehouse_url: str) -> None:
    with FhirServer(tmp_path / "server") as server, FaultyServer(server.root_url) as faulty:
        server.load(cohort.write(tmp_path / "rows", cohort.resources(5, 1)))
        patience = {"attempts": 2, "max_wait_seconds": 0.05, "max_poll_seconds": 0.1}
        site = SourceSettings(kind=kind, url=faulty.base_url, **patience)
        settings = Settings(home=tmp_path / "home", database_url=warehouse_url, sources={"site": site})
        faulty.faults.append(Fault(at(broken), status(503), times=1000))
        with pytest.raises(SourceUnreachable):
            steps.pull(settings, settings.source("site"), Clock(FIRST))
        whole = {path.name for path in (tmp_path / "home").rglob("*.ndjson.gz")}
        faulty.faults.clear()
        faulty.seen.clear()
        pulled = steps.pull(settings, settings.source("site"), Clock(FIRST + timedelta(hours=3)))
        assert whole
        assert pulled.pull_id == Clock(FIRST).pull_id
        assert pulled.counts["Encounter"] == (30 if kind == "bulk" else 25)
        assert not faulty.requests("$export")
        assert not {name.split(".")[0] for name in whole} & {
            seen.path.split("?")[0].rsplit("/", 1)[-1].split(".")[0] for seen in faulty.seen
        }
        later = steps.pull(settings, settings.source("site"), Clock(FIRST + timedelta(hours=6)))
        assert later.pull_id == Clock(FIRST + timedelta(hours=6)).pull_id


def test_only_a_pull_that_nothing_has_overtaken_is_gone_on_with(tmp_path: Path) -> None:
    from fhir_source.pull import pull
    from fhir_source.source import Source

    folder = cohort.write(tmp_path / "in", cohort.resources(1, 0))
    source, zone = Source(name="site", kind="files", url=str(folder)), LandingZone(str(tmp_path / "landing"))
    assert zone.resume("site", "4") == "4"
    for begun in ("1", "3", "5"):
        with zone.begin(source, begun):
            pass
    assert zone.resume("site", "4") == "3"
    pull(source, zone, pull_id="3", since=None, now=FIRST, cohort_codes=())
    assert zone.resume("site", "4") == "4"
    assert zone.resume("site", "6") == "5"


def test_a_pull_that_is_loaded_is_said_to_be(
    tmp_path: Path, warehouse_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cohort.write(tmp_path / "in", cohort.resources(2, 0))
    (tmp_path / "iess.toml").write_text(f'[sources.site]\nkind = "files"\nurl = "{folder}"\n')
    for name, value in {
        "IESS_CONFIG": str(tmp_path / "iess.toml"),
        "IESS_HOME": str(tmp_path / "home"),
        "IESS_DATABASE_URL": warehouse_url,
        "IESS_NOW": FIRST.isoformat(),
    }.items():
        monkeypatch.setenv(name, value)
    assert "not loaded yet" in CliRunner().invoke(app, ["pull", "site"]).output
    settings = load_settings()
    steps.process_pending(settings, settings.source("site"), Clock(FIRST))
    again = CliRunner().invoke(app, ["pull", "site"]).output
    assert "is loaded" in again
    assert "not loaded yet" not in again
