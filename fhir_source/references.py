"""Literal references between resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

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


def walk(node: Any) -> Iterator[str]:
    """Every `reference` string in a resource, contained resources included."""
    if isinstance(node, dict):
        found = node.get("reference")
        if isinstance(found, str):
            yield found
        for value in node.values():
            if isinstance(value, dict | list):
                yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, dict | list):
                yield from walk(value)


def to_type(resource: Any, resource_type: str, base: str | None = None) -> set[str]:
    """Ids of one type that a resource refers to."""
    found = (literal(reference, base) for reference in walk(resource))
    return {target[1] for target in found if target and target[0] == resource_type}
