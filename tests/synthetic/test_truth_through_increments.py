"""The same hospital exported on three days, pulled and loaded each time: the warehouse knows the truth of each day."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from pydantic import SecretStr

from fhir_source.source import Source
from pipeline import steps
from pipeline.clock import Clock
from pipeline.database import open_warehouse
from pipeline.settings import Settings
from synthetic.generate import generate
from synthetic.options import Dirt, Site, SynthOptions
from synthetic.truth import CONTRACT
from warehouse import state
from warehouse.engine import open_engine
from warehouse.migrate import upgrade

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAYS = (date(2024, 10, 1), date(2024, 10, 29), date(2025, 1, 31))
COHORT = SynthOptions(
    infants=80,
    iess_share=0.7,
    seed=51,
    sites=(Site("mesa", "America/Denver"),),
    start=date(2024, 7, 1),
    end=date(2025, 3, 31),
    dirt=Dirt(0.01, 0.01, 0.02, 0.05, 0.1, 0.1),
)
#: An infant whose waits have all ended is mapped again only when something of theirs changes, and no wait is cut off.
COLUMNS = [column for column in CONTRACT if column not in ("infant", "flags", "censored_on")]


def _text(value: object) -> str:
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    if isinstance(value, float):
        return str(int(value))
    return value.date().isoformat() if isinstance(value, datetime) else str(value)


def test_the_warehouse_knows_the_truth_of_each_day(tmp_path: Path, database_url: str) -> None:
    engine = open_engine(database_url)
    upgrade(engine)
    engine.dispose()
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(database_url))
    source = Source("mesa", "files", str(tmp_path / "cohort" / "mesa"), timezone="America/Denver", fhir_version="R4")
    for day in DAYS:
        generate(tmp_path / "cohort", replace(COHORT, as_of=day))
        clock = Clock(datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=1))
        steps.pull(settings, source, clock)
        steps.process_pending(settings, source, clock)
        with (tmp_path / "cohort" / "truth.csv").open(newline="") as file:
            truth = {row["infant"]: row for row in csv.DictReader(file) if row["cohort"] == "definite"}
        with open_warehouse(settings) as warehouse, warehouse.connect() as connection:
            rows = {row["infant"]: row for row in state.timelines(connection).to_dict("records")}
        assert len(truth) > 10
        for infant, expected in truth.items():
            found = {column: _text(rows[infant][column]) for column in COLUMNS}
            assert found == {column: expected[column] for column in COLUMNS}, f"{day}: {infant}"
            if rows[infant]["status_provider_to_neurology"] == "censored":
                assert _text(rows[infant]["censored_on"]) == expected["censored_on"]
