"""Reads the clinical cases of tests/cases, and runs a scene of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from fhir_mapping import codes
from fhir_mapping.assemble import infant_records
from fhir_mapping.contract import record_of
from fhir_mapping.mapping import map_infant
from fhir_mapping.model import MappedInfant, MappingSettings, Resource
from tests.fhir_mapping.r5 import to_r5

Json = dict[str, Any]
CASES = Path(__file__).parents[1] / "cases"
DATA = Path(__file__).parents[1] / "data"
DEFAULTS = {"timezone": "America/New_York", "as_of": "2024-12-31"}


@dataclass(frozen=True)
class Scene:
    """One situation of a case: what the record holds and what the row must say."""

    case: str
    name: str
    release: str
    infant: str
    settings: MappingSettings
    resources: tuple[Json, ...]
    expect: Json

    @property
    def label(self) -> str:
        return f"{self.case}:{self.name}:{self.release}"


def case_paths() -> list[Path]:
    return sorted(CASES.glob("*.json"))


def scenes() -> list[Scene]:
    """Every scene of every case, in R4 and, unless the case says otherwise, in R5."""
    found: list[Scene] = []
    for path in case_paths():
        case = json.loads(path.read_text(encoding="utf-8"))
        for scene in case["scenes"]:
            releases = case.get("releases", ["R4", "R5"])
            found += [_scene(path.stem, case, scene, release) for release in releases]
    return found


def _scene(name: str, case: Json, scene: Json, release: str) -> Scene:
    told = {**DEFAULTS, **case.get("settings", {}), **scene.get("settings", {})}
    # A scene may tell a resource of the case anew.
    resources = {(item["resourceType"], item["id"]): item for item in case.get("resources", [])}
    resources |= {(item["resourceType"], item["id"]): item for item in scene.get("resources", [])}
    as_of = told.pop("as_of")
    if "local_codes" in told:  # a file beside the tests
        told["local_codes"] = DATA / told["local_codes"]
    settings = MappingSettings(
        source="case", fhir_version="R5" if release == "R5" else "R4", as_of=date.fromisoformat(as_of), **told
    )
    return Scene(
        name,
        scene["name"],
        release,
        scene.get("infant", "infant"),
        settings,
        tuple(to_r5(item) if release == "R5" else item for item in resources.values()),
        scene["expect"],
    )


def as_resource(body: Json, line: int = 0) -> Resource:
    meta = body.get("meta", {})
    return Resource(
        body["resourceType"],
        body["id"],
        str(meta.get("versionId", "")),
        str(meta.get("lastUpdated", "")),
        body,
        "case.ndjson",
        line,
    )


def run(scene: Scene) -> MappedInfant:
    """The scene's infant, through assembly and mapping."""
    resources = [as_resource(body, line) for line, body in enumerate(scene.resources, start=1)]
    records = {record.infant: record for record in infant_records(resources)}
    assert scene.infant in records, f"no infant {scene.infant!r} in {scene.label}"
    return map_infant(records[scene.infant], scene.settings, _codes(scene.settings.local_codes))


@lru_cache
def _codes(local: Path | None) -> codes.Codes:
    return codes.load(local)


def differences(mapped: MappedInfant, expect: Json) -> list[str]:
    """What the case expects and the mapping doesn't say, one line each; empty when they agree."""
    found: list[str] = []
    record: Json = record_of(mapped.row) if mapped.row is not None else {}
    flags = set(mapped.row.flags) if mapped.row is not None else set()
    for name, wanted in expect.items():
        got = _got(name, mapped, record, flags, wanted)
        if got != wanted:
            found.append(f"{name}: expected {wanted!r}, got {got!r}")
    return found


def _got(name: str, mapped: MappedInfant, record: Json, flags: set[str], wanted: Any) -> Any:
    if name == "excluded":
        return mapped.excluded
    if name == "flags":
        return [flag for flag in wanted if flag in flags]
    if name == "all_flags":
        return sorted(flags)
    if name == "no_flags":
        return [flag for flag in wanted if flag not in flags]
    if name == "quarantined":
        return [[item.type, item.id, item.path] for item in mapped.quarantined]
    if name == "evidence":
        return {key: record.get("evidence", {}).get(key) for key in wanted}
    if name == "attributes":
        return {key: mapped.attributes.get(key) for key in wanted}
    if name == "events":
        return {key: _event(mapped, key) for key in wanted}
    if name in {"certainty", "detail", "rule"}:  # of the event of a milestone
        return {
            key: next((getattr(item, name) for item in mapped.events if item.milestone == key), None) for key in wanted
        }
    if name == "links":
        return [[link.referral, link.visit, link.certainty] for link in mapped.links]
    if name == "link_rules":
        return [link.rule for link in mapped.links]
    got = record.get(name, "no such column" if record else f"no row ({mapped.excluded})")
    return got.isoformat() if isinstance(got, date) else got


def _event(mapped: MappedInfant, milestone: str) -> str | None:
    return next((event.low.isoformat() for event in mapped.events if event.milestone == milestone), None)
