"""What a line says of itself: the exact reading of one line, which is also the definition for every engine.

A line holds one resource, or a Bundle that holds many. What can't be read becomes a `Fault` with its reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from fhir_mapping.fhir_types import RESOURCE_TYPES
from fhir_mapping.references import reference_target, target_of

Json = dict[str, Any]

#: `type` in the ledger of a line that doesn't name a FHIR type.
UNKNOWN = "unknown"
_OWNER_ELEMENTS = ("subject", "patient", "beneficiary", "for")
_OWN_ELEMENT = {"Coverage": "beneficiary", "RelatedPerson": "patient", "Task": "for"}
_MESSAGES = {
    "not_utf8": "the line is not UTF-8",
    "not_json": "the line is not JSON",
    "too_deep": "the line nests deeper than the parser reads",
    "not_an_object": "the line is JSON, but not an object",
    "no_resource_type": "there is no resourceType",
    "unknown_type": "resourceType is not a type of FHIR R4 or R5",
    "no_id": "there is no id, so versions and references can't be told apart",
}
_PATHS = {"no_resource_type": "resourceType", "unknown_type": "resourceType", "no_id": "id"}


class Fault(NamedTuple):
    """Why a line, or an entry of a Bundle, can't be used."""

    reason: str
    type: str  # "" when not known
    id: str  # "" when not known

    @property
    def path(self) -> str:
        return _PATHS.get(self.reason, "")

    @property
    def message(self) -> str:
        return _MESSAGES[self.reason]


class Deletion(NamedTuple):
    """A resource that the server deleted, and when, if it says so."""

    type: str
    id: str
    when: str  # an instant as written, or ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource of a line: `part` is -1 for the line itself, or the position in a Bundle. `text` is its JSON."""

    part: int
    body: Json
    sha256: str
    text: bytes


def parse(content: bytes) -> Json | Fault:
    """The JSON object of a line, or why there is none."""
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "depth" in str(error) or "recursion" in str(error).lower():
            return Fault("too_deep", "", "")
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            return Fault("not_utf8", "", "")
        return Fault("not_json", "", "")
    return body if isinstance(body, dict) else Fault("not_an_object", "", "")


def fault_of(body: Json) -> Fault | None:
    """Why a resource can't be told apart from others; None when it can."""
    kind, identity = body.get("resourceType"), body.get("id")
    known_id = identity if isinstance(identity, str) else ""
    if not isinstance(kind, str) or not kind:
        return Fault("no_resource_type", "", known_id)
    if kind not in RESOURCE_TYPES:
        return Fault("unknown_type", "", known_id)
    return None if known_id else Fault("no_id", kind, "")


def read(content: bytes) -> Iterator[Entry | Fault | Deletion]:
    """Everything that a line holds: its resource, or its Bundle and then each entry of it, or a fault."""
    body = parse(content)
    if isinstance(body, Fault):
        yield body
        return
    if body.get("resourceType") == "Bundle":
        yield Entry(-1, body, "", content)  # a Bundle is an envelope, and needs no id
        yield from _entries(body)
        return
    yield fault_of(body) or Entry(-1, body, hashlib.sha256(content).hexdigest(), content)


def _entries(bundle: Json) -> Iterator[Entry | Fault | Deletion]:
    entries = bundle.get("entry")
    for part, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        deletion = _deletion(entry, bundle)
        if deletion:
            yield deletion
        resource = entry.get("resource")
        if isinstance(resource, dict) and not deletion:
            _identify(resource, entry.get("fullUrl"))
            text = orjson.dumps(resource)
            yield fault_of(resource) or Entry(part, resource, hashlib.sha256(text).hexdigest(), text)


def _identify(resource: Json, full_url: object) -> None:
    """In a transaction Bundle the fullUrl is the identity that others refer to when the resource has no id."""
    target = target_of(full_url)
    if "id" not in resource and target:
        resource["id"] = target.id


def _deletion(entry: Json, bundle: Json) -> Deletion | None:
    request = entry.get("request")
    if not isinstance(request, dict) or request.get("method") != "DELETE":
        return None
    target = target_of(request.get("url"))
    if target is None or target.type not in RESOURCE_TYPES:
        return None
    response, meta = entry.get("response"), bundle.get("meta")
    moments = (
        response.get("lastModified") if isinstance(response, dict) else None,
        meta.get("lastUpdated") if isinstance(meta, dict) else None,
        bundle.get("timestamp"),
    )
    return Deletion(target.type, target.id, next((moment for moment in moments if isinstance(moment, str)), ""))


def is_deletion_bundle(bundle: Json) -> bool:
    """Whether a Bundle only tells of deletions, as the `deleted` files of a bulk export do."""
    entries = bundle.get("entry")
    listed = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return bool(listed) and all(_deletion(entry, bundle) for entry in listed)


def owners_of(body: Json) -> tuple[str, ...]:
    """Whose resource it is: ids of Patients, and `?system|value` for those known by an identifier alone.

    A Patient owns itself. A PractitionerRole belongs to its Practitioner in the same way.
    """
    kind = body.get("resourceType")
    if kind == "Patient":
        return (body["id"],)
    if kind == "PractitionerRole":
        return _owner(body.get("practitioner"), "Practitioner")
    if kind == "Appointment":
        return _taking_part(body)
    own = owner_element(str(kind))
    if found := _owner(body.get(own), "Patient"):
        return found
    others = (name for name in _OWNER_ELEMENTS if name != own)
    return next((found for name in others if (found := _owner(body.get(name), "Patient"))), ())


def owner_element(kind: str) -> str:
    """The element that names the Patient of a resource of this type."""
    return _OWN_ELEMENT.get(kind, "subject")


def _taking_part(appointment: Json) -> tuple[str, ...]:
    """Every Patient of an Appointment: in R5 its subject, and the participants."""
    found = dict.fromkeys(_owner(appointment.get("subject"), "Patient"))
    participants = appointment.get("participant")
    for participant in participants if isinstance(participants, list) else []:
        if isinstance(participant, dict):
            found.update(dict.fromkeys(_owner(participant.get("actor"), "Patient")))
    return tuple(found)


def _owner(reference: object, kind: str) -> tuple[str, ...]:
    if not isinstance(reference, dict):
        return ()
    target = reference_target(reference)
    return (target.id,) if target and target.type in (kind, "") else ()


def text_at(body: Json, *path: str) -> str:
    """A string below the given names, or ""."""
    node: object = body
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, str) else ""
