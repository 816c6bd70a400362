"""The landing zone: immutable files and, last and atomically, a manifest. No manifest, no pull."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fhir_source.source import FhirVersion, Kind


@dataclass(frozen=True)
class LandedFile:
    """One gzip NDJSON file of a pull. `path` is relative to the pull's folder."""

    path: str  # <Type>.<nnn>.ndjson.gz, or mixed.<nnn>.ndjson.gz for a file of several types
    type: str | None  # None when the file mixes types, or its type is not known
    rows: int  # lines, blank lines not counted
    bytes: int  # of the compressed file
    sha256: str  # of the compressed file
    origin: str | None = None  # name of the file it was copied from (kind `files`, `bulk`)
    role: Literal["output", "deleted", "error"] = "output"


@dataclass(frozen=True)
class Manifest:
    """What one pull brought. Serialised as `manifest.json`, keys sorted."""

    source: str
    pull_id: str  # sortable: 20261123T070000Z
    kind: Kind
    since: str | None  # instant asked for (ISO 8601, UTC), None for a full pull
    transaction_time: str  # the server's own time up to which the pull is whole; next watermark
    fhir_version: FhirVersion
    complete: bool
    files: tuple[LandedFile, ...]
    left_out: tuple[str, ...] = ()  # types that the server doesn't offer
    notes: tuple[str, ...] = ()  # PHI-free remarks: overlap used, parameters that the server dropped
    counts: dict[str, int] = field(default_factory=dict)  # rows by resource type
