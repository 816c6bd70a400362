"""Histories of a few infants' records, told in several pulls: what each pull brings, and what is true at the end."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from hypothesis import strategies as st

from fhir_source.landing import LandingZone, Manifest, Role
from tests.fhir_mapping.case_files import Scene, scenes
from tests.fhir_mapping.mangling import places, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhir_source.source import Source

Json = dict[str, Any]
Key = tuple[str, str]  # (type, id)

#: The day up to which the cases know everything: that of the last pull.
LAST_DAY = date(2024, 12, 31)
#: Cases with a row under the usual settings, whose resources have no versions of their own.
RECORDS: list[Scene] = [
    scene
    for scene in scenes()
    if scene.release == "R4"
    and scene.settings.as_of == LAST_DAY
    and scene.settings.local_codes is None
    and (scene.settings.race_standard, scene.settings.timezone) == ("omb1997", "America/New_York")
    and "excluded" not in scene.expect
    and not any("meta" in body or body["resourceType"] == "Bundle" for body in scene.resources)
]


#: What no version of a resource changes by itself; to whom it belongs is changed by `_moved`.
_OWNERS = ("subject", "patient", "beneficiary", "for")
_FIXED = ("resourceType", "id", "meta", "link", "participant", "practitioner", *_OWNERS)


@dataclass
class Pull:
    """What one pull brings, in its order; `deleted` is told in a file of its own."""

    instant: datetime
    lines: list[Json] = field(default_factory=list)
    deleted: list[Key] = field(default_factory=list)

    @property
    def pull_id(self) -> str:
        return self.instant.strftime("%Y%m%dT%H%M%SZ")


@dataclass
class History:
    """Pulls in their order, and the resources that stand when all have come."""

    pulls: list[Pull]
    stands: list[Json]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Two or three infants, one of whom may turn out to be another; up to four pulls in which all of it comes.

    Each resource has up to three versions. They come in any pull and order, some of them twice; a resource may be
    deleted, and may be made again. Each pull is a day, the last one LAST_DAY.
    """
    count = draw(st.integers(2, 4))
    days = [LAST_DAY - timedelta(days=count - 1 - n) for n in range(count)]
    pulls = [Pull(datetime(day.year, day.month, day.day, 18, tzinfo=UTC)) for day in days]
    which = st.integers(0, count - 1)
    infants = "abc"[: draw(st.integers(2, 3))]
    bodies = [body for name in infants for body in _infant(draw(st.sampled_from(RECORDS)), name)]
    patients = [body for body in bodies if body["resourceType"] == "Patient"]
    stands: list[Json] = []
    for body in bodies:
        versions = [body]
        if body["resourceType"] == "Patient" and draw(st.integers(0, 3)) == 0:
            other = {"reference": f"Patient/{draw(st.sampled_from(patients))['id']}"}
            versions.append(body | {"link": [{"type": "replaced-by", "other": other}]})
        for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
            versions.append(_changed(draw, draw(st.sampled_from(versions))))
        moved = _moved(draw, versions[-1], patients)
        versions += moved
        for number, version in enumerate(versions, start=1):
            _stamp(version, number, datetime(2024, 12, number, 9, tzinfo=UTC))
        coming = [version for version in versions for _ in range(draw(st.sampled_from([1, 1, 1, 2])))]
        arrivals = [draw(which) for _ in coming]
        if moved:  # to whom a record belongs is told in the order in which it was decided
            arrivals.sort()
        for when, version in zip(arrivals, coming, strict=True):
            pulls[when].lines.append(version)
        fate = draw(st.sampled_from(["stands"] * 8 + ["deleted", "made again"]))
        if fate == "stands":
            stands.append(versions[-1])
            continue
        when = draw(which)
        pulls[when].deleted.append((body["resourceType"], body["id"]))
        if fate == "made again" and when < count - 1:
            again = copy.deepcopy(draw(st.sampled_from(versions)))
            _stamp(again, 9, pulls[when].instant + timedelta(hours=1))
            pulls[draw(st.integers(when + 1, count - 1))].lines.append(again)
            stands.append(again)
    for pull in pulls:
        pull.lines = draw(st.permutations(pull.lines))
    return History(pulls, draw(st.permutations(stands)))


def _infant(scene: Scene, name: str) -> list[Json]:
    """The resources of a case under ids of their own, so that it can stand beside others."""
    text = orjson.dumps(scene.resources).decode()
    for kind, identity in sorted({(body["resourceType"], body["id"]) for body in scene.resources}):
        text = text.replace(f'{kind}/{identity}"', f'{kind}/{identity}-{name}"')
        text = text.replace(f"{kind}/{identity}/", f"{kind}/{identity}-{name}/")
    bodies: list[Json] = orjson.loads(text)
    return [body | {"id": f"{body['id']}-{name}"} for body in bodies]


def _moved(draw: st.DrawFn, body: Json, patients: list[Json]) -> list[Json]:
    """Now and then the record turns out to be another patient's, maybe one of no concern."""
    owner = next((name for name in _OWNERS if name in body), None)
    if owner is None or body["resourceType"] == "Patient" or draw(st.integers(0, 9)):
        return []
    other = draw(st.sampled_from([*(patient["id"] for patient in patients), "stranger"]))
    return [copy.deepcopy(body) | {owner: {"reference": f"Patient/{other}"}}]


def _changed(draw: st.DrawFn, body: Json) -> Json:
    """The same resource with one element gone, or with a day of it moved; as it was where nothing can change."""
    body = copy.deepcopy(body)
    elements = [path for path in places(body) if path[0] not in _FIXED]
    if not elements:  # all gone by earlier changes
        return body
    path = draw(st.sampled_from(elements))
    holder: Any = body
    for key in path:
        holder = holder[key]
    if isinstance(holder, str) and holder[:4] in ("2023", "2024") and len(holder) >= 10:
        put(body, path, f"{holder[:8]}{draw(st.integers(1, 28)):02}{holder[10:]}")
    elif isinstance(path[-1], str):
        holder = body
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]
    return body


def _stamp(body: Json, version: int, updated: datetime) -> None:
    body["meta"] = {"versionId": str(version), "lastUpdated": updated.isoformat().replace("+00:00", "Z")}


def land(landing: LandingZone, source: Source, pull: Pull, since: str | None) -> Manifest:
    """Write a pull into the landing zone, as a bulk export of what changed would be."""
    requests = [{"method": "DELETE", "url": "/".join(key)} for key in pull.deleted]
    deletions = [{"resourceType": "Bundle", "type": "transaction", "entry": [{"request": one}]} for one in requests]
    files = []
    with landing.begin(source, pull.pull_id) as writer:
        told: tuple[tuple[Role, list[Json]], ...] = (("output", pull.lines), ("deleted", deletions))
        for role, lines in told:
            with writer.spool(role, role=role) as spool:
                _write(spool, lines)
                unit = spool.finish(f"{role}.001.ndjson.gz", None)
            files += [unit.file] if unit.file else []
        instant = pull.instant.isoformat().replace("+00:00", "Z")
        return writer.commit(Manifest(source.name, pull.pull_id, "bulk", since, instant, "R4", True, tuple(files)))


def _write(spool: Any, lines: Sequence[Json]) -> None:
    spool.write(b"".join(orjson.dumps(line) + b"\n" for line in lines), len(lines))
