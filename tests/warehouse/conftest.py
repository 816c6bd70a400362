"""Pulls made by hand, staged and loaded the way the pipeline does it, with a mapping simple enough to check by eye."""

from __future__ import annotations

import hashlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from fhir_mapping.contract import INTERVALS, TimelineRow, Wait
from fhir_mapping.model import Conformance, LedgerLine, MappedInfant, MilestoneEvent, Quarantined, Resource
from fhir_mapping.newest import newest
from fhir_mapping.select import Selection
from fhir_source.landing import Manifest
from warehouse import staging, state
from warehouse.engine import open_engine
from warehouse.errors import RoleRefused, WarehouseFailed, translated
from warehouse.load import LoadReport, load
from warehouse.roles import ROLES

HASH_KEY = b"0123456789abcdef0123456789abcdef"


def resource(
    kind: str, identity: str, *, version: int = 1, updated: str = "2026-01-01T00:00:00Z", **body: Any
) -> Resource:
    content = {
        "resourceType": kind,
        "id": identity,
        "meta": {"versionId": str(version), "lastUpdated": updated},
        **body,
    }
    line = orjson.dumps(content)
    return Resource(
        kind, identity, str(version), updated, content, f"{kind}.ndjson", 1, hashlib.sha256(line).hexdigest()
    )


def patient(identity: str, **body: Any) -> Resource:
    return resource("Patient", identity, **{"birthDate": "2025-06-15", "gender": "female", **body})


def condition(infant: str, **body: Any) -> Resource:
    return resource(
        "Condition", body.pop("identity", f"c-{infant}"), **{"subject": {"reference": f"Patient/{infant}"}, **body}
    )


def visit(infant: str, day: str, **body: Any) -> Resource:
    """An encounter whose day is the infant's first neurology visit."""
    return resource(
        "Encounter",
        body.pop("identity", f"e-{infant}"),
        **{"subject": {"reference": f"Patient/{infant}"}, "period": {"start": day}, **body},
    )


@dataclass
class Pull:
    """One pull: what it brings, and the counts of what it does not."""

    pull_id: str
    resources: Sequence[Resource] = ()
    deleted: Sequence[tuple[str, str]] = ()
    out_of_scope: Counter[str] = field(default_factory=Counter)
    quarantined: Sequence[Quarantined] = ()
    source: str = "north"
    timezone: str | None = None
    since: str | None = None
    mapping_version: str | None = None

    @property
    def instant(self) -> str:
        i = self.pull_id
        return f"{i[:4]}-{i[4:6]}-{i[6:8]}T{i[9:11]}:{i[11:13]}:{i[13:15]}Z"

    def manifest(self) -> Manifest:
        return Manifest(self.source, self.pull_id, "files", self.since, self.instant, "R4", True, ())

    def selection(self) -> Selection:
        kept, superseded = newest(self.resources)
        ledger: dict[str, LedgerLine] = {}
        counts = {
            "in_scope": Counter(item.type for item in kept),
            "superseded": Counter(item.type for item in superseded),
            "deleted": Counter(kind for kind, _ in self.deleted),
            "out_of_scope": self.out_of_scope,
            "quarantined": Counter(item.type for item in self.quarantined),
        }
        for name, counter in counts.items():
            for kind, count in counter.items():
                line = ledger.setdefault(kind, LedgerLine())
                setattr(line, name, count)
                line.received += count
        return Selection(
            resources=sorted(kept, key=lambda item: (item.type, item.id)),
            ledger=ledger,
            quarantined=list(self.quarantined),
            deleted=list(self.deleted),
            data_through=date.fromisoformat(self.instant[:10]),
            infants=frozenset(item.id for item in kept if item.type == "Patient"),
        )


def row_of(source: str, infant: str, first: date, seen: date | None, horizon: date, **fields: Any) -> TimelineRow:
    """A timeline whose primary wait is from `first` to `seen`, censored at `horizon` without it."""
    missing = Wait("missing", "not_applicable")
    days = ((seen or horizon) - first).days
    if seen is None:
        wait = Wait("censored", "yes" if days > 7 else "pending", days, days)
    else:
        wait = Wait("event", "yes" if days > 7 else "no", days, days)
    row = TimelineRow(
        source=source,
        infant=infant,
        cohort="definite",
        birth_date=date(2025, 6, 15),
        sex="female",
        onset_low=None,
        onset_high=None,
        first_provider=first,
        suspected=None,
        referral=None,
        booked=None,
        neurology=seen,
        eeg=None,
        diagnosis=first,
        first_line=None,
        first_line_drug=None,
        first_treatment=None,
        first_treatment_drug=None,
        censored_on=horizon,
        pathway="no_referral_record",
        referral_evidence=None,
        age_days=(first - date(2025, 6, 15)).days,
        race_ethnicity="nh_black",
        bipoc="yes",
        payer="public",
        language="es",
        interpreter="yes",
        waits={interval.name: wait if interval.name == "provider_to_neurology" else missing for interval in INTERVALS},
        evidence={"neurology": [f"Encounter/e-{infant}/1", "M5-1"]} if seen else {},
    )
    return replace(row, **fields)


def mapped(source: str, resources: Iterable[Resource], horizon: date) -> list[MappedInfant]:
    """A stand-in for the mapping: an infant needs a Condition; the neurology visit is the first Encounter's day."""
    by_type: dict[str, dict[str, list[Resource]]] = {}
    for item in resources:
        owner = item.id if item.type == "Patient" else str(item.body["subject"]["reference"]).partition("/")[2]
        by_type.setdefault(owner, {}).setdefault(item.type, []).append(item)
    result = []
    for infant, kinds in sorted(by_type.items()):
        if "Patient" not in kinds:
            continue
        confirmed = [c for c in kinds.get("Condition", []) if c.body.get("verificationStatus") != "refuted"]
        if not confirmed:
            result.append(MappedInfant(infant, None, "not_iess", ()))
            continue
        visits = sorted(kinds.get("Encounter", []), key=lambda e: str(e.body["period"]["start"]))
        seen = date.fromisoformat(visits[0].body["period"]["start"]) if visits else None
        events = tuple(
            MilestoneEvent(infant, "neurology", seen, seen, "day", "M5-1", "coded", v.type, v.id, v.version_id)
            for v in visits[:1]
            if seen
        )
        first = date(2026, 1, 2)
        result.append(MappedInfant(infant, row_of(source, infant, first, seen, horizon), None, events))
    return result


def stage(engine: Engine, pull: Pull) -> None:
    """Select and map, as `pipeline.steps` does."""
    staging.stage_selection(engine, pull.manifest(), pull.selection(), mapping_version=pull.mapping_version)
    staged = staging.staged_resources(engine, pull.source, pull.pull_id)
    touched = staging.touched_infants(engine, pull.source, pull.pull_id)
    gone = set(pull.deleted)
    held = [item for item in state.current_resources(engine, pull.source, touched) if (item.type, item.id) not in gone]
    resources, _ = newest([*held, *staged])
    through = state.data_through(engine, pull.source)
    horizon = max(date.fromisoformat(pull.instant[:10]), through or date.min)
    infants = [item for item in resources if item.type in ("Patient", "Condition", "Encounter")]
    verdicts = [Conformance(item.type, item.id, ()) for item in staged]
    staging.stage_mapping(
        engine,
        pull.source,
        pull.pull_id,
        mapped(pull.source, infants, horizon),
        verdicts,
        timezone=pull.timezone,
        as_of=horizon,
    )


@pytest.fixture
def run(warehouse_engine: Engine) -> Callable[..., LoadReport]:
    """Stage and load a pull into the test's warehouse."""

    def run_pull(pull: Pull, *, replay: bool = False, engine: Engine = warehouse_engine) -> LoadReport:
        stage(engine, pull)
        return load(engine, pull.manifest(), hash_key=HASH_KEY, replay=replay)

    return run_pull


@pytest.fixture
def logins(warehouse_engine: Engine, warehouse_url: str) -> Iterator[dict[str, Engine]]:
    """One login a role, and `nobody`, who is a member of none."""
    names = {role: f"{role}_{uuid.uuid4().hex[:8]}" for role in (*ROLES, "nobody")}
    with warehouse_engine.begin() as connection:
        for role, name in names.items():
            member = f" IN ROLE {role}" if role in ROLES else ""
            connection.execute(text(f"CREATE ROLE {name} LOGIN{member}"))
    engines = {
        role: open_engine(make_url(warehouse_url).set(username=name).render_as_string(hide_password=False))
        for role, name in names.items()
    }
    yield engines
    for engine in engines.values():
        engine.dispose()
    with warehouse_engine.begin() as connection:
        for name in names.values():
            connection.execute(text(f"DROP OWNED BY {name}"))
            connection.execute(text(f"DROP ROLE {name}"))


def two_sites(engine: Engine) -> None:
    for source in ("north", "south"):
        pull = Pull("20260105T000000Z", [patient("a"), condition("a"), visit("a", "2026-01-04")], source=source)
        stage(engine, pull)
        load(engine, pull.manifest(), hash_key=HASH_KEY)


def may(engine: Engine, statement: str) -> bool:
    try:
        with translated(), engine.begin() as connection:
            connection.execute(text(statement))
    except RoleRefused:
        return False
    except WarehouseFailed as error:
        # A view that can't be written to; else refused for another reason than the role: a missing value, a constraint.
        return "SQLSTATE 55000" not in str(error)
    return True
