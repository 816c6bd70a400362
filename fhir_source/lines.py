"""What one line of NDJSON says of itself, without more parsing than that takes."""

from __future__ import annotations

import re

import orjson

# Servers write resourceType first, nearly always; a line that doesn't is parsed.
_TYPE_FIRST = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"([A-Za-z]{1,64})"')


def resource_type(line: bytes) -> str | None:
    """The `resourceType` of a line, None when it isn't JSON or has none."""
    match = _TYPE_FIRST.match(line)
    if match:
        return match[1].decode()
    try:
        body = orjson.loads(line)
    except ValueError:
        return None
    found = body.get("resourceType") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
