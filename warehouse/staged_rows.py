"""Rows of the staging tables, made from what selection and mapping hand over."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from fhir_mapping.contract import record_of
from fhir_mapping.newest import instant_of, version_number
from fhir_mapping.references import identifier_keys
from fhir_source.source import REFERENCED_TYPES
from warehouse.schema.contract import content_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_mapping.contract import TimelineRow
    from fhir_mapping.model import MappedInfant, Resource

RESOURCE_COLUMNS = (
    "source",
    "pull_id",
    "resource_type",
    "resource_id",
    "version_id",
    "last_updated",
    "updated_at",
    "version_number",
    "sha256",
    "infant",
    "reference_keys",
    "file",
    "line",
    "body",
)


def resource_row(source: str, pull_id: str, resource: Resource) -> tuple[object, ...]:
    """A row of `clinical.stg_resource`, in the order of RESOURCE_COLUMNS."""
    owners = sorted(resource.owners) if resource.type not in REFERENCED_TYPES else []
    literal = [owner for owner in owners if not owner.startswith("?")]
    body = orjson.dumps(resource.body).decode()
    keys = sorted({clean(key) for key in _reference_keys(resource, owners)})
    resource.release()
    return (
        source,
        pull_id,
        resource.type,
        resource.id,
        clean(resource.version_id),
        clean(resource.last_updated),
        instant_of(resource.last_updated),
        version_number(resource.version_id),
        resource.sha256,
        resource.id if resource.type == "Patient" else clean(literal[0]) if literal else None,
        keys,
        resource.file,
        resource.line,
        body,
    )


def _reference_keys(resource: Resource, owners: list[str]) -> Iterator[str]:
    """Shared resources that it refers to, by id or identifier; Patients by link, or beside the first owner.

    What others may refer to by identifier (Patients and shared resources) is known by its own identifiers too.
    """
    shared = resource.type in REFERENCED_TYPES
    for target in resource.targets:
        if target.id.startswith("?"):
            if target.type in REFERENCED_TYPES or not target.type:
                yield f"{target.type}{target.id}"
        elif target.type in REFERENCED_TYPES or (target.type == "Patient" and resource.type == "Patient"):
            yield f"{target.type}/{target.id}"
        elif not target.type:
            yield f"?/{target.id}"  # `urn:uuid:...` does not say what it points to
    if shared or resource.type == "Patient":
        for key in identifier_keys(resource.body.get("identifier")):
            yield f"{resource.type}?{key}"
            if shared:
                yield f"?{key}"  # as a reference has it that does not tell the type
    literal = [owner for owner in owners if not owner.startswith("?")]
    yield from (f"Patient/{owner}" for owner in literal[1:])
    yield from (f"Patient{owner}" for owner in owners if owner.startswith("?"))


def timeline_row(source: str, pull_id: str, one: MappedInfant, row: TimelineRow) -> tuple[object, ...]:
    """A row of `clinical.stg_timeline`: keys, hash of the content, the contract's columns, and those beside them."""
    record = {name: value for name, value in record_of(row).items() if name not in ("source", "infant")}
    record["evidence"] = _json(row.evidence)
    record["attributes"] = _json({name: clean(value) for name, value in one.attributes.items()})
    record["referral_links"] = _json([[link.referral, link.visit, link.rule, link.certainty] for link in one.links])
    # The censor date moves with every pull. Where an infant is still waiting the days move with it; elsewhere it is no
    # news, and would open a row an infant and pull.
    news = {name: value for name, value in record.items() if name != "censored_on"}
    content = orjson.dumps(news, option=orjson.OPT_SORT_KEYS)
    return (
        source,
        pull_id,
        row.infant,
        hashlib.sha256(content).hexdigest(),
        *(record[name] for name in content_names()),
    )


def _json(value: object) -> str:
    """JSON text, the same for the same value; NUL, which PostgreSQL refuses in it, is replaced."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode().replace("\\u0000", "\\ufffd")


def clean(value: str) -> str:
    """Without NUL, which PostgreSQL's text can't hold; a broken line may have put one into an id."""
    return value.replace("\0", "\ufffd")
