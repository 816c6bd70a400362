"""One page of a search: what is wrong with it, its rows, its links, what the server remarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_source.errors import PullIncomplete, SourceMisbehaved
from fhir_source.instants import parse
from fhir_source.transport import Transient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_source.transport import Answer

# Issue types (FHIR issue-type) by which a server says that there would be more.
_PARTIAL = frozenset({"incomplete", "timeout", "too-costly", "throttled", "transient", "exception", "lock-error"})


def page_fault(answer: Answer, resource_type: str) -> Transient | None:
    """What is wrong with a page, None for a page that can be used."""
    what = _wrong_page(answer.body, resource_type)
    if what:
        return Transient(f"it answered a search of {resource_type} with {what}", ends_as=SourceMisbehaved)
    if any(mode == "outcome" and _is_partial(row) for mode, row in rows(answer.body, resource_type)):
        return Transient(f"it answered a search of {resource_type} in part only", ends_as=PullIncomplete)
    return None


def _wrong_page(body: dict[str, Any], resource_type: str) -> str | None:
    if body.get("resourceType") != "Bundle":
        return "an OperationOutcome" if body.get("resourceType") == "OperationOutcome" else "something else than a page"
    if body.get("type", "searchset") != "searchset":
        return "a Bundle that is not a searchset"
    entries = body.get("entry") or []  # some write `null` when there are none
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return "a malformed page"
    if any(mode == "match" and row.get("resourceType") != resource_type for mode, row in rows(body, resource_type)):
        return "a page of another type"
    return None


def rows(body: dict[str, Any], resource_type: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a page of this type's search, each with its mode: match, include or outcome."""
    for entry in body.get("entry") or []:
        row = entry.get("resource")
        if not isinstance(row, dict):
            continue
        search = entry.get("search")
        mode = search.get("mode") if isinstance(search, dict) else None
        if row.get("resourceType") == "OperationOutcome" and resource_type != "OperationOutcome":
            mode = "outcome"
        if mode not in ("match", "include", "outcome"):
            mode = "match" if row.get("resourceType") == resource_type else "include"
        yield mode, row


def total_of(body: dict[str, Any]) -> int | None:
    """How many rows a search has, as its page says; None when it doesn't."""
    total = body.get("total")
    return total if isinstance(total, int) and not isinstance(total, bool) else None


def links(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A page's links that can be read."""
    found = body.get("link")
    return [link for link in found if isinstance(link, dict)] if isinstance(found, list) else []


def _issues(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    issues = outcome.get("issue")
    return [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []


def _is_partial(outcome: dict[str, Any]) -> bool:
    return any(
        issue.get("severity") in ("fatal", "error") or issue.get("code") in _PARTIAL for issue in _issues(outcome)
    )


def remarks(outcome: dict[str, Any], resource_type: str) -> set[str]:
    """What the server warns of."""
    # Only the coded parts: `diagnostics` is free text and may quote what was searched for.
    return {
        f"{resource_type}: the server remarks {issue.get('severity')}/{issue.get('code')}"
        for issue in _issues(outcome)
        if issue.get("severity") == "warning"
    }


def _meta(row: dict[str, Any], name: str) -> str:
    meta = row.get("meta")
    value = meta.get(name) if isinstance(meta, dict) else None
    return value if isinstance(value, str) else ""


def version(row: dict[str, Any]) -> str:
    """Tells the versions of a resource apart."""
    return f"{_meta(row, 'versionId')} {_meta(row, 'lastUpdated')}"


def older(row: dict[str, Any], since: str) -> bool:
    """True when a row says that it was last updated before an instant."""
    updated = parse(_meta(row, "lastUpdated"))
    asked = parse(since)
    return updated is not None and asked is not None and updated < asked
