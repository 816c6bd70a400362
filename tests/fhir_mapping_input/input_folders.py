"""Small FHIR folders for the tests of the input side."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]
ICD = "http://hl7.org/fhir/sid/icd-10-cm"


def resource(kind: str, identity: str, **elements: Any) -> Json:
    """A resource; `for_` stands for `for`, `updated` and `version` for its meta."""
    meta = {
        name: elements.pop(key)
        for key, name in (("updated", "lastUpdated"), ("version", "versionId"))
        if key in elements
    }
    body: Json = {"resourceType": kind, "id": identity, **{name.rstrip("_"): item for name, item in elements.items()}}
    return body | ({"meta": meta} if meta else {})


def of(patient: str) -> Json:
    return {"reference": f"Patient/{patient}"}


def concept(code: str, system: str = ICD, **more: Any) -> Json:
    return {"coding": [{"system": system, "code": code}], **more}


def condition(identity: str, patient: str, code: str = "G40.822", **elements: Any) -> Json:
    return resource("Condition", identity, subject=of(patient), code=concept(code), **elements)


def infant(patient: str = "p1") -> list[Json]:
    """A Patient of the cohort with one Encounter."""
    return [
        resource("Patient", patient, birthDate="2024-01-10", gender="female"),
        condition(f"c-{patient}", patient, recordedDate="2024-07-01"),
        resource("Encounter", f"e-{patient}", status="finished", subject=of(patient), period={"start": "2024-06-20"}),
    ]


def write(folder: Path, name: str, lines: Sequence[Json | bytes | str]) -> Path:
    """Write one file, gzipped when the name says so. bytes and str go in as they are."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = b"".join(_raw(line) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(raw, mtime=0) if name.endswith(".gz") else raw)
    return path


def _raw(line: Json | bytes | str) -> bytes:
    if isinstance(line, bytes):
        return line
    return line.encode() if isinstance(line, str) else json.dumps(line).encode()
