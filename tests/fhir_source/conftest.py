"""The real FHIR server with a small cohort, and a faulty server in front of it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fhir_source.landing import LandingZone
from fhir_source.source import Source

sys.path.insert(0, str(Path(__file__).parents[2]))  # helpers are imported as tests.fhir_source.<name>

from synthetic.fhir_server import FhirServer
from tests.fhir_source import cohort
from tests.fhir_source.faulty import FaultyServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from fhir_source.landing import Manifest

NOW = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
PULL = "20261123T070000Z"

#: Settings of a source under test: small pages, so that there is something to page, and no long sleeps.
QUICK: dict[str, Any] = {"page_size": 7, "max_wait_seconds": 0.05, "timeout_seconds": 1.0, "attempts": 5}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FhirServer]:
    """Nobody may change what is on it: see `own_server`."""
    with FhirServer(tmp_path_factory.mktemp("fhir")) as running:
        running.load(cohort.write(tmp_path_factory.mktemp("cohort"), cohort.resources()))
        yield running


@pytest.fixture
def faulty(server: FhirServer) -> Iterator[FaultyServer]:
    with FaultyServer(server.root_url) as running:
        yield running


@pytest.fixture
def landing(tmp_path: Path) -> LandingZone:
    return LandingZone(str(tmp_path / "landing"))


@pytest.fixture
def pulling(landing: LandingZone) -> Callable[..., Manifest]:
    """Pull from a base URL with quick settings; keyword arguments go to the source or to the pull."""
    from fhir_source.pull import pull

    asked = {"pull_id", "since", "known_infants", "coded", "progress", "cohort_codes"}

    def run(url: str, **given: Any) -> Manifest:
        of_pull = {"pull_id": PULL, "since": None, "cohort_codes": [cohort.SPASMS]}
        of_pull |= {name: value for name, value in given.items() if name in asked}
        of_source = {name: value for name, value in given.items() if name not in asked}
        source = Source(**{"name": "site", "kind": "search", "url": url, **QUICK, **of_source})
        return pull(source, landing, now=NOW, **of_pull)  # type: ignore[arg-type]

    return run
