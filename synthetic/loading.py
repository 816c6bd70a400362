"""NDJSON files into a FHIR server, by Bundles of PUT.

A transaction costs the server one commit, a batch one for each resource: 1,100 resources a second against 130 on a disk
that syncs slowly. A transaction that is refused is sent again as a batch, which says which resource was at fault.
"""

from __future__ import annotations

import gzip
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx
import orjson

from fhir_source.errors import SourceMisbehaved, SourceUnreachable, UnreadableInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_BUNDLE = 250  # resources a request


Outcome: TypeAlias = tuple[Counter[str], Counter[str]]  # loaded and refused, by resource type


@dataclass
class LoadReport:
    """What became of the lines: `loaded` by type, `refused` by the server by type, `unreadable` lines."""

    loaded: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0

    @property
    def total(self) -> int:
        return self.loaded.total()


def load_folder(
    base_url: str,
    folder: Path,
    *,
    headers: dict[str, str],
    progress: Callable[[int], None] | None = None,
) -> LoadReport:
    """PUT the resources of `folder`'s `.ndjson` and `.ndjson.gz` files, in the order of the files' names.

    A later line of the same resource becomes a new version of it. Raises UnreadableInput for a folder without such
    files, SourceUnreachable when the server goes away, SourceMisbehaved when it answers something other than a batch
    response.
    """
    files = sorted(path for path in folder.glob("*.ndjson*") if path.suffix in (".ndjson", ".gz"))
    if not files:
        raise UnreadableInput("There is no .ndjson or .ndjson.gz file to load", file=folder.name)
    report = LoadReport()
    # One connection: the server works on one write at a time, two were no faster, and versions keep their order.
    with httpx.Client(
        base_url=base_url,
        headers={"Prefer": "return=minimal", "Content-Type": "application/fhir+json", **headers},
        timeout=120,
        trust_env=False,
    ) as client:
        for path in files:
            for bundle in _bundles(_resources(path, report)):
                loaded, refused = _put(client, bundle)
                report.loaded.update(loaded)
                report.refused.update(refused)
                if progress:
                    progress(len(bundle))
    return report


def _resources(path: Path, report: LoadReport) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                resource = orjson.loads(line)
            except orjson.JSONDecodeError:
                report.unreadable += 1
                continue
            if isinstance(resource, dict) and resource.get("resourceType") and resource.get("id"):
                yield resource
            else:
                report.unreadable += 1


def _bundles(resources: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    bundle: list[dict[str, Any]] = []
    for resource in resources:
        bundle.append(resource)
        if len(bundle) == _BUNDLE:
            yield bundle
            bundle = []
    if bundle:
        yield bundle


def _put(client: httpx.Client, resources: list[dict[str, Any]]) -> Outcome:
    answer = _send(client, "transaction", resources)
    if answer.status_code == httpx.codes.OK:
        return Counter(resource["resourceType"] for resource in resources), Counter()
    answer = _send(client, "batch", resources)
    responses = answer.json().get("entry", []) if answer.status_code == httpx.codes.OK else []
    if len(responses) != len(resources):
        raise SourceMisbehaved(f"The FHIR server answered a batch of {len(resources)} with {answer.status_code}")
    loaded: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for resource, response in zip(resources, responses, strict=True):
        taken = str(response.get("response", {}).get("status", "")).startswith("2")
        (loaded if taken else refused)[resource["resourceType"]] += 1
    return loaded, refused


def _send(client: httpx.Client, kind: str, resources: list[dict[str, Any]]) -> httpx.Response:
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources
    ]
    try:
        return client.post("", content=orjson.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}))
    except httpx.TransportError as error:
        raise SourceUnreachable("The FHIR server went away while it was being loaded") from error
