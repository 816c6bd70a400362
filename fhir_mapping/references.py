"""References between resources, in every form that servers write them.

A reference names its target by a relative (`Patient/1`), absolute (`https://host/fhir/Patient/1`), versioned
(`Patient/1/_history/2`) or `urn:uuid:` URL, by a conditional URL (`Patient?identifier=system|value`), or by an
identifier alone. FHIR R4 2.3.0, section References.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import orjson

_NESTED = (dict, list)
#: In compact JSON: what a `reference` holds, or nothing where that is no text, or one with escapes in it.
_LITERAL = re.compile(rb'"reference":(?:"([^"\\]*)")?')
_UNUSUAL = (b'"identifier":{', b'\\"reference":')


class Target(NamedTuple):
    """What a reference points to. `type` is "" when the reference doesn't say it (`urn:uuid:`, a bare id).

    `id` is `?system|value` for what is known by an identifier alone.
    """

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


def reference_target(reference: dict[str, Any]) -> Target | None:
    """What one Reference points to; None for a contained resource, and for one that can't be read.

    By identifier alone: a conditional URL, or `Reference.identifier` where there is no literal reference.
    """
    literal = reference.get("reference")
    if isinstance(literal, str) and literal.strip():
        return target_of(literal) or _conditional(literal)
    key = next(identifier_keys(reference.get("identifier")), None)
    return Target(type_of(reference), f"?{key}") if key else None


def type_of(reference: dict[str, Any]) -> str:
    """The type that `Reference.type` names, by itself or as a URL (`.../StructureDefinition/Patient`); "" without."""
    told = reference.get("type")
    return told.strip().rpartition("/")[2] if isinstance(told, str) else ""


def _conditional(literal: str) -> Target | None:
    """The target of `PractitionerRole?identifier=system|value`, with or without the server before it."""
    target, _, query = literal.partition("?")
    values = parse_qs(query).get("identifier")
    return Target(target.rstrip("/").rpartition("/")[2], f"?{values[0]}") if values else None


def _objects_in(element: object) -> Iterator[dict[str, Any]]:
    """Every JSON object anywhere inside an element. Iterative: depth is not bounded."""
    stack = [element]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            stack += [child for child in node.values() if child.__class__ in _NESTED]
        elif isinstance(node, list):
            stack += [child for child in node if child.__class__ in _NESTED]


def references_in(element: object) -> Iterator[str]:
    """Every literal reference anywhere inside an element."""
    return (node["reference"] for node in _objects_in(element) if isinstance(node.get("reference"), str))


def targets_of(body: dict[str, Any]) -> frozenset[Target]:
    """What the References of a resource point to, contained resources left out."""
    try:
        text = orjson.dumps(body)
    except (orjson.JSONEncodeError, RecursionError):  # an integer of more than 64 bits, or nested too deep
        return frozenset(targets_in(body))
    # A tenth of the walk's time, for the resources of which it is as exact: no identifier may stand for a reference,
    # no resource is inside of another, and no name ends as the element's does.
    if any(sign in text for sign in _UNUSUAL) or "reference" in body or text.count(b'"resourceType"') > 1:
        return frozenset(targets_in(body))
    literals = set(_LITERAL.findall(text))
    return frozenset(targets_in(body) if b"" in literals else filter(None, map(_literal_target, literals)))


@lru_cache(maxsize=1 << 16)
def _literal_target(literal: bytes) -> Target | None:
    return reference_target({"reference": literal.decode()})


def targets_in(element: object) -> Iterator[Target]:
    """What every Reference anywhere inside an element points to, contained resources left out."""
    for node in _objects_in(element):
        # A resource has identifiers of its own; a Reference has one, or none.
        if "reference" in node or ("identifier" in node and isinstance(node["identifier"], dict)):
            found = reference_target(node) if "resourceType" not in node else None
            if found is not None:
                yield found


class Identified:
    """Resources by type and identifier. One that two resources of a type share points to neither of them."""

    def __init__(self, resources: Iterable[tuple[str, str, Any]] = ()) -> None:
        """Takes type, id and `identifier` of each resource."""
        self._ids: dict[tuple[str, str], str | None] = {}
        for kind, identity, identifiers in resources:
            for key in set(identifier_keys(identifiers)):
                other = self._ids.setdefault((kind, f"?{key}"), identity)
                if other != identity:
                    self._ids[kind, f"?{key}"] = None

    def find(self, target: Target, kinds: Iterable[str]) -> Iterator[Target]:
        """The resources of these types that a target by identifier means: at most one of each type."""
        for kind in [target.type] if target.type else kinds:
            found = self._ids.get((kind, target.id))
            if found is not None:
                yield Target(kind, found)
