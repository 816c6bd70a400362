"""What was deleted on a server since the last pull, from the history of each type, where the server offers it.

A search finds what is there, and never says what is no longer. History comes newest first (FHIR R4, http.html#history),
which gives the end of it: servers have been seen that forget `_since` in their own `next` links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

from fhir_source.errors import SourceMisbehaved
from fhir_source.instants import parse
from fhir_source.references import literal
from fhir_source.transport import Request, Transient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from fhir_source.transport import Answer, Transport

_PAGE = 500
_MOST_PAGES = 200  # of one type: a hundred thousand changes


async def deleted_since(transport: Transport, resource_type: str, since: str) -> tuple[list[str], str | None]:
    """Ids that were deleted and did not come back, sorted; and a remark when there were too many changes to see all."""
    limit = parse(since)
    newest: dict[str, bool] = {}  # id: whether its newest version is a deletion
    url = f"{transport.url(resource_type)}/_history?{urlencode({'_since': since, '_count': _PAGE})}"
    for _ in range(_MOST_PAGES):
        answer = await transport.json(Request(url), _fault)
        for identity, deletion, when in _entries(answer.body, resource_type):
            if limit and when and when < limit:
                return _gone(newest), None
            newest.setdefault(identity, deletion)
        following = _next(answer, transport.base)
        if following is None or following == url:
            return _gone(newest), None
        url = following
    return _gone(newest), f"{resource_type}: too many changes to look through them all for deletions"


def _gone(newest: dict[str, bool]) -> list[str]:
    return sorted(identity for identity, deletion in newest.items() if deletion)


def _fault(answer: Answer) -> Transient | None:
    if answer.body.get("resourceType") == "Bundle" and answer.body.get("type", "history") == "history":
        return None
    return Transient("it answered with something else than a history", ends_as=SourceMisbehaved)


def _entries(body: dict[str, Any], resource_type: str) -> Iterator[tuple[str, bool, datetime | None]]:
    for entry in body.get("entry") or []:
        request = entry.get("request") or {} if isinstance(entry, dict) else {}
        resource = entry.get("resource") if isinstance(entry, dict) else None
        deletion = request.get("method") == "DELETE"
        target = literal(str(request.get("url", ""))) or literal(str(entry.get("fullUrl", "")))
        identity = target[1] if target and target[0] == resource_type else (resource or {}).get("id")
        if not identity:
            continue
        stamp = (entry.get("response") or {}).get("lastModified") or ((resource or {}).get("meta") or {}).get(
            "lastUpdated"
        )
        yield str(identity), deletion, parse(stamp) if isinstance(stamp, str) else None


def _next(answer: Answer, base: str) -> str | None:
    for link in answer.body.get("link") or []:
        if link.get("relation") == "next" and isinstance(link.get("url"), str):
            here = answer.url if link["url"].startswith("?") else f"{base}/"
            return str(urljoin(here, link["url"]))
    return None
