"""References between resources, in every form that servers write them.

A reference names its target by a relative (`Patient/1`), absolute (`https://host/fhir/Patient/1`), versioned
(`Patient/1/_history/2`) or `urn:uuid:` URL, by a conditional URL (`Patient?identifier=system|value`), or by an
identifier alone. FHIR R4 2.3.0, section References.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

_NESTED = (dict, list)


class Target(NamedTuple):
    """What a reference points to. `type` is "" when the reference doesn't say it (`urn:uuid:`, a bare id)."""

    type: str
    id: str


@lru_cache(maxsize=1 << 16)
def _target(reference: str) -> Target | None:
    text = reference.strip()
    if not text or text.startswith("#") or "?" in text:
        return None
    if text.lower().startswith(("urn:uuid:", "urn:oid:")):
        return Target("", text.split(":", 2)[2]) if text.split(":", 2)[2] else None
    text = text.partition("/_history")[0].partition("#")[0].rstrip("/")
    head, _, tail = text.rpartition("/")
    named = head.rpartition("/")[2]
    return Target(named, tail) if tail else None


def target_of(reference: object) -> Target | None:
    """Type and id of a literal reference; None for contained, conditional, empty and unreadable ones."""
    return _target(reference) if isinstance(reference, str) else None


def identifier_keys(identifiers: object) -> Iterator[str]:
    """`system|value` of each readable Identifier of one element or list."""
    for identifier in identifiers if isinstance(identifiers, list) else [identifiers]:
        if isinstance(identifier, dict) and isinstance(identifier.get("value"), str):
            system = identifier.get("system")
            yield f"{system if isinstance(system, str) else ''}|{identifier['value']}"


def logical_key(reference: dict[str, Any]) -> str | None:
    """`system|value` of a reference by identifier: conditional, or `Reference.identifier` without a literal one."""
    literal = reference.get("reference")
    if isinstance(literal, str) and literal.strip():
        target, _, query = literal.partition("?")
        named = target.rstrip("/").rpartition("/")[2]
        values = parse_qs(query).get("identifier") if named in ("Patient", "") else None
        return unquote(values[0]) if values else None
    if reference.get("type") not in (None, "Patient", "http://hl7.org/fhir/StructureDefinition/Patient"):
        return None
    return next(identifier_keys(reference.get("identifier")), None)


def references_in(element: object) -> Iterator[str]:
    """Every literal reference anywhere inside an element. Iterative: depth is not bounded."""
    stack = [element]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            literal = node.get("reference")
            if isinstance(literal, str):
                yield literal
            stack += [child for child in node.values() if child.__class__ in _NESTED]
        elif isinstance(node, list):
            stack += [child for child in node if child.__class__ in _NESTED]
