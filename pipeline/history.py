"""The history of infants who join the cohort: their earlier resources landed before anyone knew the diagnosis."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from fhir_mapping.model import LedgerLine
from fhir_mapping.newest import newest
from fhir_mapping.select import Selection


def with_history(selection: Selection, history: Selection) -> Selection:
    """A pull's selection with what was re-read, for the infants who join, from pulls that landed earlier.

    In the ledger the re-read resources count as received again, since this pull takes them in; what an earlier pull
    quarantined stays in that pull's account.
    """
    kept, _ = newest([*history.resources, *selection.resources])
    before = Counter(resource.type for resource in [*history.resources, *selection.resources])
    after = Counter(resource.type for resource in kept)
    ledger = {kind: replace(line) for kind, line in selection.ledger.items()}
    for kind, count in Counter(resource.type for resource in history.resources).items():
        line = ledger.setdefault(kind, LedgerLine())
        superseded = before[kind] - after[kind]
        line.received += count
        line.in_scope += count - superseded
        line.superseded += superseded
    return replace(
        selection,
        resources=sorted(kept, key=lambda resource: (resource.type, resource.id)),
        ledger=ledger,
        infants=selection.infants | history.infants,
    )
