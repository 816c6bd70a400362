"""What landed in earlier pulls and is wanted only now: the earlier record of infants who join the cohort, and the
practitioners, organizations, places and medicines that nothing of the cohort referred to until now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from fhir_mapping.merges import links_of
from fhir_mapping.model import LedgerLine, Resource
from fhir_mapping.newest import newest
from fhir_mapping.references import Target
from fhir_mapping.select import Selection, shared_targets

#: Selects the records of these infants, and these resources, from some files.
Choose = Callable[[frozenset[str], frozenset[Target]], Selection]


def with_earlier(
    selection: Selection, known: frozenset[str], beside: frozenset[Target], *, now: Choose, before: Choose
) -> Selection:
    """A pull's selection with all that it leads to, in this pull (`now`) and in those that landed earlier (`before`).

    `known` infants and targets (`beside`) are held already, or were looked for when the pull before was loaded.
    """
    asked = beside
    first = True
    while True:
        joined = (selection.infants | _linked(selection.resources)) - known
        # A version that landed earlier may even be newer than the one of this pull.
        named = frozenset(shared_targets(selection.resources)) - asked
        if not joined and not named:
            return selection
        known, asked = known | joined, asked | named
        if not first:  # what the first selection leads to was looked for in its own files
            selection = _with_found(selection, now(joined, named))
        history = before(joined, named)
        # This pull may tell anew of what landed earlier, and whose it is now.
        again = frozenset(Target(one.type, one.id) for one in history.resources) - _keys_of(selection)
        if again:
            selection = _with_found(selection, now(frozenset(), again))
        selection = with_history(selection, history)
        first = False


def _keys_of(selection: Selection) -> frozenset[Target]:
    return frozenset(Target(one.type, one.id) for one in selection.resources)


def with_history(selection: Selection, history: Selection) -> Selection:
    """A pull's selection with what was re-read from pulls that landed earlier.

    In the ledger the re-read resources count as received again, since this pull takes them in; what an earlier pull
    quarantined stays in that pull's account. What this pull deletes is not taken in.
    """
    gone = set(selection.deleted)
    told = {(resource.type, resource.id) for resource in selection.resources}
    earlier = [one for one in history.resources if (one.type, one.id) not in gone - told]
    kept, superseded = newest([*earlier, *selection.resources])
    ledger = {kind: replace(line) for kind, line in selection.ledger.items()}
    for kind, count in Counter(resource.type for resource in earlier).items():
        line = ledger.setdefault(kind, LedgerLine())
        line.received += count
        line.in_scope += count
    for kind, count in Counter(resource.type for resource in superseded).items():
        ledger[kind].in_scope -= count
        ledger[kind].superseded += count
    return _grown(selection, kept, ledger, history.infants)


def _with_found(selection: Selection, found: Selection) -> Selection:
    """The same with further resources of the pull itself, which were out of its scope until now."""
    told = {(resource.type, resource.id): resource for resource in found.resources}
    told |= {(resource.type, resource.id): resource for resource in selection.resources}
    ledger = {kind: replace(line) for kind, line in selection.ledger.items()}
    counts = Counter(kind for kind, _ in told)
    counts.subtract(resource.type for resource in selection.resources)
    for kind, count in counts.items():
        ledger[kind].out_of_scope -= count
        ledger[kind].in_scope += count
    return _grown(selection, list(told.values()), ledger, found.infants)


def _grown(
    selection: Selection, resources: list[Resource], ledger: dict[str, LedgerLine], infants: frozenset[str]
) -> Selection:
    return replace(
        selection,
        resources=sorted(resources, key=lambda resource: (resource.type, resource.id)),
        ledger=ledger,
        infants=selection.infants | infants,
    )


def _linked(resources: list[Resource]) -> frozenset[str]:
    """Ids of the Patients whom Patient.link names, and who name them."""
    patients = [resource for resource in resources if resource.type == "Patient"]
    return frozenset(identity for patient in patients for pair in links_of(patient.body) for identity in pair)
