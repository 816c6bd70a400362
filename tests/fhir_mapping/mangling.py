"""Finding the elements of a resource, and putting something else in their place."""

from __future__ import annotations

from typing import Any


def places(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every element of a resource."""
    found = [path] if path else []
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        found += places(value, (*path, key))
    return found


def put(body: Any, path: tuple[Any, ...], value: Any) -> None:
    """Put a value in the place of what is there."""
    for key in path[:-1]:
        body = body[key]
    body[path[-1]] = value
