"""One plain function a step: what a DAG task calls, and what the command line calls.

Each takes the settings and ids and returns a small record (`pipeline.records`). Each may be killed at any moment and
run again: pulls land whole or not at all, staging is replaced, and a load is one transaction.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from expectations import gate as gates
from fhir_mapping import codes as value_sets
from fhir_mapping import observations
from fhir_mapping.assemble import infant_records
from fhir_mapping.conformance import verdicts
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappingSettings
from fhir_mapping.newest import newest
from fhir_mapping.select import InputFile, select
from fhir_mapping.version import mapping_version
from fhir_source.errors import UnreadableInput
from fhir_source.landing import LandingZone
from fhir_source.pull import pull as pull_source
from fhir_source.source import REFERENCED_TYPES, Source
from pipeline.database import database_url, open_warehouse
from pipeline.gating import record_all
from pipeline.hash_key import hash_key
from pipeline.history import with_earlier
from pipeline.records import Gated, LedgerEntry, Loaded, Mapped, NextPull, Pulled, Selected
from warehouse import staging, state
from warehouse.load import load as load_staged

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from fhir_mapping.codes import Codes
    from fhir_source.landing import Manifest
    from fhir_source.source import FhirVersion
    from pipeline.clock import Clock
    from pipeline.settings import Settings

    Progress = Callable[[str, int], None]

#: Codes by which a search source finds the cohort; the mapping decides who belongs to it.
COHORT_ROLES = ("iess_definite", "iess_ambiguous", "iess_probable", "iess_late_onset")


def folder_source(folder: Path, *, timezone: str, fhir_version: FhirVersion | None) -> Source:
    """A source for a folder that the settings don't name: its name is the folder's."""
    if not folder.is_dir():
        raise UnreadableInput("There is no such folder", file=str(folder), next_step="check the path")
    name = re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-") or "folder"
    return Source(name=name, kind="files", url=str(folder), timezone=timezone, fhir_version=fhir_version)


def next_pull(settings: Settings, source: Source, clock: Clock) -> NextPull:
    """Which pull comes next: the one that was interrupted, else a new one; and the watermark that it starts from."""
    with open_warehouse(settings) as engine:
        return _next_pull(engine, settings, source, clock)


def pull(
    settings: Settings,
    source: Source,
    clock: Clock,
    *,
    begun: NextPull | None = None,
    export: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Pulled:
    """Bring what is new since the watermark into the landing zone; a pull that was interrupted is gone on with.

    `begun` and `export` are those of an export that was started before (`fhir_source.pull.start_export`).
    """
    with open_warehouse(settings) as engine:
        wanted = begun or _next_pull(engine, settings, source, clock)
        known = state.known_infants(engine, source.name)
        loaded = state.loaded_pulls(engine, source.name)
    manifest = pull_source(
        source,
        _landing(settings),
        pull_id=wanted.pull_id,
        since=wanted.since,
        now=clock.now,
        cohort_codes=_codes(settings).search_pairs(*COHORT_ROLES),
        known_infants=sorted(known),
        coded=observations.searches(_codes(settings)),
        export=export,
        progress=progress,
    )
    return Pulled(
        source=manifest.source,
        pull_id=manifest.pull_id,
        kind=manifest.kind,
        since=manifest.since,
        transaction_time=manifest.transaction_time,
        counts=dict(sorted(manifest.counts.items())),
        left_out=list(manifest.left_out),
        notes=list(manifest.notes),
        loaded=manifest.pull_id in loaded,
    )


def pending(settings: Settings, source: str) -> list[str]:
    """Ids of the landed pulls that the warehouse does not hold yet, oldest first."""
    with open_warehouse(settings) as engine:
        loaded = state.loaded_pulls(engine, source)
    return [found.pull_id for found in _landing(settings).pulls(source) if found.pull_id not in loaded]


def select_pull(settings: Settings, source: Source, pull_id: str, *, progress: Progress | None = None) -> Selected:
    """Find the cohort's resources in a landed pull and stage them."""
    landing = _landing(settings)
    manifest = landing.manifest(source.name, pull_id)
    landing.verify(manifest)
    with open_warehouse(settings) as engine:
        known = state.known_infants(engine, source.name)
        beside = state.known_targets(engine, source.name)
        options = _mapping_settings(settings, source, manifest)
        codes = _codes(settings)
        choose = partial(select, settings=options, codes=codes, engine=settings.mapping.engine)
        selection = choose(_files(landing, manifest), known_infants=known, beside=beside, progress=progress)
        joined = selection.infants - known
        earlier = [found for found in landing.pulls(source.name) if found.pull_id < pull_id]
        if earlier and source.kind != "search":
            # A search source has already asked the server for the whole record of those who join, and whom it names.
            selection = with_earlier(
                selection,
                known,
                beside,
                now=lambda infants, targets: choose(
                    _files(landing, manifest), known_infants=infants, only_known=True, beside=targets
                ),
                before=lambda infants, targets: choose(
                    [file for pulled in earlier for file in _files(landing, pulled, shared_only=not infants)],
                    known_infants=infants,
                    only_known=True,
                    beside=targets,
                ),
            )
        staging.stage_selection(engine, manifest, selection, mapping_version=mapping_version(options, codes))
    if progress:
        progress("selected", len(selection.resources))
    return Selected(
        source=source.name,
        pull_id=pull_id,
        infants=len(selection.infants),
        joined=len(joined),
        resources=len(selection.resources),
        quarantined=len(selection.quarantined),
    )


def map_pull(
    settings: Settings, source: Source, pull_id: str, clock: Clock, *, progress: Progress | None = None
) -> Mapped:
    """Map the infants that the pull touched, from all that is known of them, and stage their timelines."""
    manifest = _landing(settings).manifest(source.name, pull_id)
    with open_warehouse(settings) as engine:
        staged = staging.staged_resources(engine, source.name, pull_id)
        touched = staging.touched_infants(engine, source.name, pull_id)
        gone = staging.staged_deletions(engine, source.name, pull_id)
        stored = [
            resource
            for resource in state.current_resources(engine, source.name, touched)
            if (resource.type, resource.id) not in gone
        ]
        # Stored before staged: of two copies with the same version the one that came later is kept.
        resources, _ = newest([*stored, *staged])
        options = _mapping_settings(settings, source, manifest, _horizon(engine, source, manifest, clock))
        codes = _codes(settings)
        mapped = []
        for record in infant_records(resources):
            mapped.append(map_infant(record, options, codes))
            if progress:
                progress("infants mapped", 1)
        conformance = verdicts(staged, manifest.fhir_version)
        staging.stage_mapping(
            engine, source.name, pull_id, mapped, conformance, timezone=source.timezone, as_of=options.as_of
        )
    return Mapped(
        source=source.name,
        pull_id=pull_id,
        infants=len(mapped),
        timelines=sum(one.row is not None for one in mapped),
        excluded=dict(sorted(Counter(one.excluded for one in mapped if one.excluded).items())),
        nonconformant=sum(bool(verdict.paths) for verdict in conformance),
        quarantined=sum(len(one.quarantined) for one in mapped),
    )


def gate_pull(settings: Settings, source: str, pull_id: str, *, progress: Progress | None = None) -> Gated:
    """Run the expectations over what is staged; `GateBlocked` when a critical one fails."""
    with database_url(settings) as url:
        own = settings.expectations.thresholds
        reports = [
            gates.run(url, layer, source=source, pull_id=pull_id, overrides=own) for layer in ("staged", "timeline")
        ]
    with open_warehouse(settings) as engine:
        record_all(engine, reports)
    results = [result for report in reports for result in report.results]
    if progress:
        progress("expectations", len(results))
    return Gated(
        source=source,
        pull_id=pull_id,
        rules=len(results),
        failed={result.rule_id: result.failing_rows for result in results if result.status == "fail"},
    )


def load_pull(settings: Settings, source: str, pull_id: str) -> Loaded:
    """One transaction: what is staged, the ledger and the watermark. A loaded pull is left as it is."""
    manifest = _landing(settings).manifest(source, pull_id)
    with open_warehouse(settings) as engine:
        report = load_staged(engine, manifest, hash_key=hash_key(settings))
    return Loaded(
        source=source,
        pull_id=pull_id,
        ledger=[LedgerEntry(**row) for row in report.ledger],
        timelines_opened=report.timelines_opened,
        timelines_closed=report.timelines_closed,
    )


def process(
    settings: Settings, source: Source, pull_id: str, clock: Clock, *, progress: Progress | None = None
) -> Loaded:
    """Select, map, gate and load one landed pull."""
    select_pull(settings, source, pull_id, progress=progress)
    map_pull(settings, source, pull_id, clock, progress=progress)
    gate_pull(settings, source.name, pull_id, progress=progress)
    return load_pull(settings, source.name, pull_id)


def process_pending(
    settings: Settings, source: Source, clock: Clock, *, progress: Progress | None = None
) -> list[Loaded]:
    """Process every landed pull that is not loaded, in order: each starts from what the one before left."""
    return [process(settings, source, pull_id, clock, progress=progress) for pull_id in pending(settings, source.name)]


def loaded(settings: Settings, source: str) -> list[Loaded]:
    """Every pull of a source in the warehouse, oldest first, each with its ledger."""
    with open_warehouse(settings) as engine:
        pulls = sorted(state.loaded_pulls(engine, source))
    return [load_pull(settings, source, pull_id) for pull_id in pulls]


def _next_pull(engine: Engine, settings: Settings, source: Source, clock: Clock) -> NextPull:
    since = state.watermark(engine, source.name)
    return NextPull(_landing(settings).resume(source.name, clock.pull_id), since)


def _landing(settings: Settings) -> LandingZone:
    return LandingZone(settings.landing_root)


def _codes(settings: Settings) -> Codes:
    return value_sets.load(settings.mapping.local_codes)


def _files(landing: LandingZone, manifest: Manifest, *, shared_only: bool = False) -> list[InputFile]:
    """The files of a pull, deletions last, by the name under which the operator knows them.

    `shared_only`: those that may hold practitioners, organizations, places and medicines, and the deletions.
    """
    return [
        InputFile(path, file.origin or file.path, manifest.transaction_time)
        for role in ("output", "deleted")
        for file, path in landing.paths(manifest, role=role)
        if not shared_only or file.type is None or file.type in REFERENCED_TYPES or role == "deleted"
    ]


def _mapping_settings(
    settings: Settings, source: Source, manifest: Manifest, as_of: date | None = None
) -> MappingSettings:
    return MappingSettings(
        source=source.name,
        timezone=source.timezone,
        fhir_version=manifest.fhir_version,
        as_of=as_of,
        **settings.mapping.rules(),
    )


def _horizon(engine: Engine, source: Source, manifest: Manifest, clock: Clock) -> date:
    """The day up to which waits are counted: what the newest pull reached, and never beyond the clock.

    A pull that is loaded late must not shorten the waits that a newer one has shown.
    """
    reached = datetime.fromisoformat(manifest.transaction_time).astimezone(ZoneInfo(source.timezone)).date()
    before = state.data_through(engine, source.name)
    return min(max(reached, before or reached), clock.today)
