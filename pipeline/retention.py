"""Retention: raw files and findings that policy does not let us keep are removed, each removal with a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fhir_source.landing import LandingZone
from pipeline.database import open_warehouse
from warehouse import retention, state

if TYPE_CHECKING:
    from fhir_source.landing import Manifest
    from pipeline.clock import Clock
    from pipeline.settings import Settings


@dataclass(frozen=True)
class PurgedPull:
    """A pull whose raw files are past their time, and why they are kept all the same (empty: they are removed)."""

    source: str
    pull_id: str
    files: int
    kept_because: str


@dataclass(frozen=True)
class Purged:
    """What retention did, or would do. `rows`: by table; dates are the days before which each policy applies."""

    landing_before: str | None
    quarantine_before: str | None
    pulls: list[PurgedPull] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)


def purge(settings: Settings, clock: Clock, *, dry_run: bool = False) -> Purged:
    """Remove what the settings' `[retention]` names as past its time; without a policy, nothing.

    Raw files of a pull stay while anything needs them: it is not loaded, or it is not a search and no later pull of
    everything is, from which the history of an infant who joins the cohort could be read. Killed and run again, the
    rest is removed, and each removal has one record.
    """
    landing_before = _before(clock, settings.retention.landing_days)
    quarantine_before = _before(clock, settings.retention.quarantine_days)
    pulls = [] if landing_before is None else _purge_landing(settings, clock, landing_before, dry_run=dry_run)
    rows: dict[str, int] = {}
    if quarantine_before is not None:
        reason = f"retention.quarantine_days = {settings.retention.quarantine_days}"
        with open_warehouse(settings) as engine:
            rows = retention.purge(engine, before=quarantine_before, at=clock.now, reason=reason, dry_run=dry_run)
    return Purged(_day(landing_before), _day(quarantine_before), pulls, rows)


def _purge_landing(settings: Settings, clock: Clock, before: datetime, *, dry_run: bool) -> list[PurgedPull]:
    landing = LandingZone(settings.landing_root)
    reason = f"retention.landing_days = {settings.retention.landing_days}"
    found: list[PurgedPull] = []
    with open_warehouse(settings) as engine:
        for source in landing.sources():
            loaded = state.loaded_pulls(engine, source)
            pulls = landing.pulls(source)
            for manifest in pulls:
                if datetime.fromisoformat(manifest.transaction_time) >= before:
                    continue
                why = _needed(manifest, pulls, loaded)
                found.append(PurgedPull(source, manifest.pull_id, len(manifest.files), why))
                if why or dry_run:
                    continue
                retention.record_purge(
                    engine,
                    what=retention.landed(source, manifest.pull_id),
                    before=before,
                    at=clock.now,
                    reason=reason,
                    count=len(manifest.files),
                )
                landing.remove(manifest)
    return found


def _needed(manifest: Manifest, pulls: list[Manifest], loaded: frozenset[str]) -> str:
    """Why the raw files of a pull must stay; empty when they need not."""
    if manifest.pull_id not in loaded:
        return "not loaded yet"
    later = [pull for pull in pulls if pull.pull_id > manifest.pull_id and pull.pull_id in loaded]
    if not later:
        return "newest of its source"
    if manifest.kind != "search" and not any(pull.since is None and pull.complete for pull in later):
        return "no later pull of everything"
    return ""


def _before(clock: Clock, days: int | None) -> datetime | None:
    return None if days is None else clock.now - timedelta(days=days)


def _day(instant: datetime | None) -> str | None:
    return None if instant is None else instant.date().isoformat()
