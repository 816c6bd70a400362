"""Retention: what policy lets go is removed and recorded once, what is needed stays, a replay says what is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from fhir_source.landing import LandingZone, Manifest
from fhir_source.source import Kind
from pipeline import replay, retention, steps
from pipeline.clock import Clock
from pipeline.database import open_warehouse
from pipeline.settings import RetentionOptions, Settings
from warehouse import state
from warehouse.errors import PullPurged

pytestmark = pytest.mark.integration
FIRST, SECOND = Clock(datetime(2026, 1, 5, 7, tzinfo=UTC)), Clock(datetime(2026, 2, 5, 7, tzinfo=UTC))
LATER = Clock(datetime(2026, 3, 20, 7, tzinfo=UTC))


@pytest.fixture
def settings(copied: Path, tmp_path: Path, warehouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A hospital's folder that was pulled and loaded twice, with a line that is no JSON."""
    for name in ("IESS_CONFIG", "IESS_HOME", "IESS_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    (copied / "odd.ndjson").write_text('{"resourceType": "Condition", "id": \n')
    made = Settings(
        home=tmp_path / "home",
        database_url=warehouse_url,
        hash_key="a key for tests, long enough to be taken",
        sources={"harbor": {"kind": "files", "url": str(copied)}},
        retention=RetentionOptions(landing_days=30, quarantine_days=60),
    )
    source = made.source("harbor")
    for clock in (FIRST, SECOND):
        steps.pull(made, source, clock)
        steps.process_pending(made, source, clock)
    return made


def landed(settings: Settings) -> list[str]:
    return [manifest.pull_id for manifest in LandingZone(settings.landing_root).pulls("harbor")]


def one(settings: Settings, sql: str) -> object:
    with open_warehouse(settings) as engine, engine.connect() as connection:
        return connection.execute(text(sql)).scalar_one()


def test_a_purge_removes_records_and_says_what_a_replay_lacks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_warehouse(settings) as engine:
        before = state.ledgers(engine)
    free = settings.model_copy(update={"retention": RetentionOptions()})
    assert retention.purge(free, LATER) == retention.Purged(None, None)
    would = retention.purge(settings, LATER, dry_run=True)
    assert [(pull.pull_id, pull.kept_because) for pull in would.pulls] == [
        (FIRST.pull_id, ""),
        (SECOND.pull_id, "newest of its source"),
    ]
    assert would.rows["clinical.quarantine"] == 2
    assert one(settings, "SELECT count(*) FROM ops.purge") == 0
    assert landed(settings) == [FIRST.pull_id, SECOND.pull_id]

    with monkeypatch.context() as killed:
        killed.setattr(LandingZone, "remove", lambda zone, manifest: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            retention.purge(settings, LATER)
    done = retention.purge(settings.model_copy(update={"retention": RetentionOptions(landing_days=30)}), LATER)
    assert (done.quarantine_before, done.rows) == (None, {})
    assert landed(settings) == [SECOND.pull_id]
    assert one(settings, "SELECT count(*) FROM ops.purge") == 1
    assert one(settings, "SELECT rows_deleted > 5 FROM ops.purge WHERE what = 'landing:harbor/20260105T070000Z'")

    with pytest.raises(
        PullPurged, match=r"20260105T070000Z were removed on 2026-03-20 \(retention.landing_days = 30\)"
    ):
        replay.replay(settings, "harbor", LATER)
    assert one(settings, "SELECT max(attempt) FROM ops.pull WHERE pull_id = '20260205T070000Z'") == 2, "the other was"

    retention.purge(settings, LATER)
    assert replay.counts(settings) == []
    with open_warehouse(settings) as engine:
        after = state.ledgers(engine)
    assert before["received"].sum() == after["received"].sum()


def manifest(pull_id: str, *, kind: Kind = "bulk", since: str | None = None, complete: bool = True) -> Manifest:
    return Manifest("lake", pull_id, kind, since, "2026-01-01T00:00:00Z", "R4", complete, ())


@pytest.mark.parametrize(
    ("later", "loaded", "kept_because"),
    [
        ([manifest("2")], {"2"}, "not loaded yet"),
        ([], {"1"}, "newest of its source"),
        ([manifest("2")], {"1"}, "newest of its source"),
        ([manifest("2", since="2026-01-01T00:00:00Z")], {"1", "2"}, "no later pull of everything"),
        ([manifest("2", complete=False)], {"1", "2"}, "no later pull of everything"),
        ([manifest("2", since="2026-01-01T00:00:00Z"), manifest("3")], {"1", "2", "3"}, ""),
        ([manifest("2", kind="search", since="2026-01-01T00:00:00Z")], {"1", "2"}, ""),
    ],
)
def test_what_is_needed_is_kept(later: list[Manifest], loaded: set[str], kept_because: str) -> None:
    first = manifest("1", kind=later[0].kind if later else "bulk")
    assert retention._needed(first, [first, *later], frozenset(loaded)) == kept_because
