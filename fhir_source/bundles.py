"""JSON documents as NDJSON lines: the resources of a Bundle (transaction, batch, searchset, collection ...), or one
resource.

Line N is entry N. Inside a Bundle, resources refer to one another by `fullUrl` (`urn:uuid:` ...); outside of it only
`Type/id` means something, so these references are rewritten, as the server that receives a transaction does.
"""

from __future__ import annotations

from typing import Any

import orjson


class NotFhir(Exception):
    """A JSON document that is no FHIR resource."""


def lines(text: bytes) -> tuple[list[bytes], list[bytes]]:
    """Resources, and deletions (each a Bundle with one DELETE request), as lines with line ends.

    Raises NotFhir for JSON without a resourceType, and ValueError for what is not JSON.
    """
    document = orjson.loads(text)
    if not isinstance(document, dict) or not isinstance(document.get("resourceType"), str):
        raise NotFhir
    if document["resourceType"] != "Bundle":
        return [orjson.dumps(document) + b"\n"], []
    entries = document.get("entry")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    targets = _targets(entries)
    rows = []
    for entry in entries:
        resource = entry.get("resource")
        if isinstance(resource, dict):
            _resolve(resource, targets)
            rows.append(orjson.dumps(resource) + b"\n")
    return rows, [deletion(entry["request"]["url"]) for entry in entries if _is_deletion(entry)]


def _targets(entries: list[dict[str, Any]]) -> dict[str, str]:
    """What each fullUrl stands for. A resource without id takes that of its `urn:uuid:` fullUrl."""
    targets = {}
    for entry in entries:
        resource, url = entry.get("resource"), entry.get("fullUrl")
        if not isinstance(resource, dict) or not isinstance(url, str):
            continue
        if "id" not in resource and url.startswith("urn:uuid:"):
            resource["id"] = url.removeprefix("urn:uuid:")
        if resource.get("id") and resource.get("resourceType"):
            targets[url] = f"{resource['resourceType']}/{resource['id']}"
    return targets


def _resolve(node: Any, targets: dict[str, str]) -> None:
    if isinstance(node, dict):
        reference = node.get("reference")
        if isinstance(reference, str) and reference in targets:
            node["reference"] = targets[reference]
        for value in node.values():
            _resolve(value, targets)
    elif isinstance(node, list):
        for value in node:
            _resolve(value, targets)


def _is_deletion(entry: dict[str, Any]) -> bool:
    request = entry.get("request")
    return isinstance(request, dict) and request.get("method") == "DELETE" and isinstance(request.get("url"), str)


def deletion(url: str) -> bytes:
    """A line that says that `Type/id` is deleted, as the `deleted` files of a Bulk Data export do."""
    request = {"method": "DELETE", "url": url}
    return orjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [{"request": request}]}) + b"\n"
