"""Literal references between resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterator

# Relative, absolute or versioned; not contained (#), not urn:, not conditional (Type?query).
_LITERAL = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,128})(?:/_history/[^/]+)?$")


def literal(reference: str, base: str | None = None) -> tuple[str, str] | None:
    """Type and id of a literal reference; None for any other, and for one to another server than `base` (when
    given).
    """
    if reference.startswith(("urn:", "#")):
        return None
    if base and "://" in reference and not reference.startswith(f"{base.rstrip('/')}/"):
        return None
    match = _LITERAL.search(reference)
    return (match[1], match[2]) if match else None


def identified(reference: dict[str, Any]) -> tuple[str, tuple[str, str] | None]:
    """Type, and (system, value) of the identifier, of a conditional (`Practitioner?identifier=system|value`) or logical
    (`type` and `identifier`) reference; None for any other. An empty system is any.
    """
    kind, mark, query = str(reference.get("reference") or "").rpartition("/")[2].partition("?")
    if mark:
        value = dict(parse_qsl(query)).get("identifier", "")
        system, _, rest = value.rpartition("|")
        return kind, (system, rest) if rest else None
    identifier = reference.get("identifier")
    if reference.get("reference") or not isinstance(identifier, dict) or not identifier.get("value"):
        return "", None
    return str(reference.get("type", "")), (str(identifier.get("system") or ""), str(identifier["value"]))


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Every Reference in a resource (literal, conditional or logical), contained resources included."""
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str) or ("identifier" in node and "type" in node):
            yield node
        for value in node.values():
            if isinstance(value, dict | list):
                yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, dict | list):
                yield from nodes(value)


def to_type(resource: Any, resource_type: str, base: str | None = None) -> set[str]:
    """Ids of one type that a resource refers to."""
    found = (literal(str(node.get("reference", "")), base) for node in nodes(resource))
    return {target[1] for target in found if target and target[0] == resource_type}
