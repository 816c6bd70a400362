"""Pull by pull or all at once: the warehouse knows of every infant what mapping everything says (property)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from pydantic import SecretStr

from fhir_mapping.assemble import infant_records
from fhir_mapping.codes import load as load_codes
from fhir_mapping.contract import record_of
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappingSettings
from fhir_mapping.select import find_files, select
from fhir_source.landing import LandingZone
from fhir_source.source import Source
from pipeline import steps
from pipeline.clock import Clock
from pipeline.settings import Settings
from tests.fhir_mapping_input.input_folders import write
from tests.pipeline.conftest import ledger_adds_up
from tests.pipeline.increments import LAST_DAY, History, histories, land
from warehouse import state
from warehouse.engine import open_engine

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SOURCE = Source(name="lake", kind="bulk", url="unused", timezone="America/New_York", fhir_version="R4")
EXAMPLES = int(os.environ.get("IESS_INCREMENT_EXAMPLES", "8"))


def _by_pulls(history: History, url: str, home: Path) -> dict[str, dict[str, Any]]:
    """Current rows of the warehouse after all pulls, each selected, mapped and loaded in its turn."""
    options = Settings(home=home, database_url=SecretStr(url), hash_key=SecretStr("a key for tests, long enough"))
    landing, since = LandingZone(options.landing_root), None
    for pull in history.pulls:
        since = land(landing, SOURCE, pull, since).transaction_time
        steps.select_pull(options, SOURCE, pull.pull_id)
        steps.map_pull(options, SOURCE, pull.pull_id, Clock(pull.instant))
        loaded = steps.load_pull(options, SOURCE.name, pull.pull_id)
        assert not loaded.ledger or ledger_adds_up([vars(line) for line in loaded.ledger])
    engine = open_engine(url)
    with engine.connect() as connection:
        found = state.timelines(connection).astype(object)
        rows = found.where(found.notna(), None).to_dict("records")
    engine.dispose()
    return {row["infant"]: {str(name): value for name, value in row.items()} for row in rows}


def _at_once(history: History, folder: Path) -> dict[str, dict[str, Any]]:
    """What mapping says of the resources that stand at the end, read from a folder."""
    write(folder, "all.ndjson", history.stands)
    options = MappingSettings(SOURCE.name, timezone=SOURCE.timezone, as_of=LAST_DAY)
    codes = load_codes()
    records = infant_records(select(find_files(folder), options, codes).resources)
    mapped = [map_infant(record, options, codes) for record in records]
    return {one.infant: record_of(one.row) | one.attributes for one in mapped if one.row is not None}


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(histories())
def test_pull_by_pull_and_all_at_once_give_the_same_rows(
    new_warehouse: Callable[[], AbstractContextManager[str]], history: History
) -> None:
    with new_warehouse() as url, tempfile.TemporaryDirectory() as name:
        found = _by_pulls(history, url, Path(name) / "home")
        expected = _at_once(history, Path(name) / "all")
    assert sorted(found) == sorted(expected)
    for infant, row in expected.items():
        # Of an infant whose waits have all ended, the row says up to which day it was known when it was last mapped.
        waiting = any(status == "censored" for column, status in row.items() if column.startswith("status_"))
        columns = [column for column in row if waiting or column != "censored_on"]
        assert {column: _plain(found[infant][column]) for column in columns} == {
            column: _plain(row[column]) for column in columns
        }, infant


def _plain(value: Any) -> Any:
    """A value of either side, for comparison."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value) if isinstance(value, int) else value
