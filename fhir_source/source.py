"""What a source is: one FHIR server or folder, of kind `search`, `bulk` or `files`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["search", "bulk", "files"]
FhirVersion = Literal["R4", "R5"]
AuthKind = Literal["none", "smart", "client_secret", "basic", "bearer"]
ExportLevel = Literal["system", "patient", "group"]

#: Types that belong to an infant, pulled by patient.
PATIENT_TYPES = (
    "Patient",
    "RelatedPerson",
    "Encounter",
    "Condition",
    "ServiceRequest",
    "Coverage",
    "Procedure",
    "DiagnosticReport",
    "MedicationRequest",
    "MedicationAdministration",
    "MedicationDispense",
    "MedicationStatement",
    "Appointment",
    "Task",
    "Observation",
    "QuestionnaireResponse",
    "DocumentReference",
)
#: Of these, only resources with a code that a rule reads are wanted: by this search parameter they are narrowed. An
#: export is asked for them only with a `_typeFilter` of the settings, since it would bring every blood pressure.
CODED_TYPES = {"Observation": "code", "QuestionnaireResponse": "questionnaire", "DocumentReference": "type"}
#: Types that are pulled because one of the above refers to them.
REFERENCED_TYPES = (
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Location",
    "Medication",
    "HealthcareService",
)
IN_SCOPE_TYPES = PATIENT_TYPES + REFERENCED_TYPES


@dataclass(frozen=True)
class Auth:
    """How to authenticate. `secret` and `private_key` are values, not paths, and never appear in `repr`."""

    kind: AuthKind = "none"
    client_id: str | None = None
    token_url: str | None = None  # discovered from .well-known/smart-configuration when None
    scope: str | None = None  # asked per resource type when None
    username: str | None = None
    secret: str | None = field(default=None, repr=False)  # client secret, password or bearer token
    private_key: str | None = field(default=None, repr=False)  # PEM or JWK
    key_id: str | None = None


@dataclass(frozen=True)
class Source:
    """One FHIR server or folder, which is one site of the network."""

    name: str  # [a-z0-9_-]+, used in paths and keys
    kind: Kind
    url: str  # FHIR base URL, or folder (local path or fsspec URL)
    timezone: str = "UTC"  # IANA name: the site's local calendar
    fhir_version: FhirVersion | None = None  # asked of the server when None (folders: R4)
    auth: Auth = field(default_factory=Auth)
    types: tuple[str, ...] = IN_SCOPE_TYPES
    page_size: int = 200
    concurrency: int = 4  # requests under way at once, at most; 429 and 503 lower it
    overlap_seconds: int = 300  # re-read before the watermark, for clocks that disagree
    ca_file: Path | None = None  # PEM of a private certificate authority, instead of the system's
    client_cert: Path | None = None  # PEM, for mutual TLS
    client_key: Path | None = None  # PEM; None when client_cert holds the key too
    timeout_seconds: float = 60.0  # without an answer, or with less than 1 kB/s of it
    attempts: int = 8  # of one request, before the pull gives up
    max_wait_seconds: float = 120.0  # longest sleep between two attempts, whatever Retry-After says
    token_origins: tuple[str, ...] = ()  # further origins (scheme://host:port) that may get the token, e.g. a file host
    look_for_deletions: bool = (
        True  # kind `search`, increments: in the history of each type, where the server offers it
    )
    export_level: ExportLevel = "system"  # kind `bulk`
    group: str | None = None  # id of the Group to export, for export_level `group`
    type_filters: tuple[str, ...] = ()  # kind `bulk`: `_typeFilter` values, e.g. "Encounter?date=ge2024-01-01"
    max_poll_seconds: float = 600.0  # kind `bulk`: longest wait between two looks at a running export
    export_hours: float = 24.0  # kind `bulk`: an export that runs longer is given up
    tolerate_export_errors: bool = False  # kind `bulk`: load an export although the server reports errors in it
