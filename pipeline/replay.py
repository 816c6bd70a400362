"""What is in quarantine, and another try at it once a record, a rule or a value set has been mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from fhir_source.landing import LandingZone
from fhir_source.source import Source
from pipeline.database import open_warehouse
from pipeline.hash_key import hash_key
from warehouse import quarantine, retention, state
from warehouse.errors import PullPurged, translated
from warehouse.load import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pipeline.clock import Clock
    from pipeline.records import Loaded
    from pipeline.settings import Settings
    from warehouse.quarantine import Finding, ReasonCount

    Progress = Callable[[str, int], None]

_LAST_PULL = text("SELECT timezone, fhir_version FROM ops.pull WHERE source = :source ORDER BY sequence DESC LIMIT 1")


def counts(settings: Settings, source: str | None = None) -> list[ReasonCount]:
    """Open findings by pull and reason, without ids."""
    with open_warehouse(settings) as engine:
        return quarantine.counts(engine, source)


def findings(settings: Settings, source: str, pull_id: str) -> list[Finding]:
    """Open findings of one pull, one by one: for the clinical role, since resource ids are PHI."""
    with open_warehouse(settings) as engine:
        return quarantine.findings(engine, source, pull_id=pull_id)


def replay(
    settings: Settings,
    source_name: str,
    clock: Clock,
    *,
    reasons: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Loaded]:
    """Select, map, check and load again each pull with open findings (of these reasons), oldest first.

    When that lets an infant into the cohort, the pulls after it are taken again as well: they passed that infant's
    resources over. Each pull is a load of its own, so that a replay may be killed and run again.
    Raises SettingsError for a source that neither the settings nor the warehouse know, PullPurged, after all others
    were replayed, when the raw files of a pull are gone.
    """
    from pipeline import steps  # here, since it brings mapping and validation, which looking at findings does not need

    source = _source(settings, source_name)
    with open_warehouse(settings) as engine:
        waiting = quarantine.pulls_to_replay(engine, source.name, reasons=reasons)
        known = state.loaded_pulls(engine, source.name)
        purged = retention.purged_pulls(engine, source.name)
    done: list[Loaded] = []
    gone: list[str] = []
    while waiting:
        pull_id = waiting.pop(0)
        if pull_id in purged:
            gone.append(pull_id)
            continue
        selected = steps.select_pull(settings, source, pull_id, progress=progress)
        steps.map_pull(settings, source, pull_id, clock, progress=progress)
        steps.gate_pull(settings, source.name, pull_id, progress=progress)
        manifest = LandingZone(settings.landing_root).manifest(source.name, pull_id)
        with open_warehouse(settings) as engine:
            load(engine, manifest, hash_key=hash_key(settings), replay=True)
        done.append(steps.load_pull(settings, source.name, pull_id))  # loaded by now: this gives its account
        if selected.joined:
            waiting = sorted({*waiting, *(later for later in known if later > pull_id)})
    if gone:
        raise _purged(source.name, gone, purged[gone[0]], len(done))
    return done


def _purged(source: str, gone: list[str], first: tuple[datetime, str], done: int) -> PullPurged:
    at, policy = first
    return PullPurged(
        f"The raw files of {len(gone)} pulls can't be replayed: those of {gone[0]} were removed on {at:%Y-%m-%d} "
        f"({policy})",
        source=source,
        kept=f"all that is loaded; {done} other pulls were replayed",
        next_step="pull the source anew, as a whole, if what they held is still needed",
    )


def _source(settings: Settings, name: str) -> Source:
    """The settings' source; else the one that was loaded from a folder, as the warehouse remembers it."""
    if name in settings.sources:
        return settings.source(name)
    with open_warehouse(settings) as engine, translated(name), engine.connect() as connection:
        row = connection.execute(_LAST_PULL, {"source": name}).one_or_none()
    if row is None:
        return settings.source(name)  # raises: nobody knows it
    return Source(name=name, kind="files", url="", timezone=row.timezone or "UTC", fhir_version=row.fhir_version)
