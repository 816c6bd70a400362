"""The verdict of `fhir.resources` on each resource: does it conform to FHIR, and if not, where not.

R4 is judged by the R4B models (fhir.resources has none for R4; the types in scope are the same but for corrections),
R5 by the R5 models. A verdict names paths of elements, never their values. A resource that does not conform is still
mapped when what the rules need can be read.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from functools import cache
from importlib import import_module
from multiprocessing import get_context
from typing import Any

from fhir_mapping.likeness import likenesses
from fhir_mapping.model import Conformance, Resource
from fhir_source.source import FhirVersion

_PACKAGES = {"R4": "fhir.resources.R4B", "R5": "fhir.resources"}
#: Below this many unlike resources the start of a worker (importing the models) costs more than it saves.
_WORTH_A_WORKER = 20_000
_CHUNK = 1_000

_Item = tuple[str, str, dict[str, Any]]
_Verdict = tuple[str, ...]  # the paths


def verdicts(
    resources: Iterable[Resource], fhir_version: FhirVersion, *, workers: int | None = None
) -> list[Conformance]:
    """One verdict a resource, in the order given. `workers` processes share large sets (default: one a core).

    Resources that are alike to the models (`likeness`) are judged once.
    """
    judging = list(resources)
    groups, unlike = _grouped(judging)
    judged = _judged(unlike, fhir_version, workers or os.cpu_count() or 1)
    return [Conformance(one.type, one.id, judged[group]) for one, group in zip(judging, groups, strict=True)]


def _grouped(resources: Sequence[Resource]) -> tuple[list[int], list[_Item]]:
    """For each resource the number of its group of like ones; for each group its first."""
    groups: list[int] = []
    unlike: list[_Item] = []
    known: dict[bytes, int] = {}
    for resource in resources:
        seen: list[bytes] = []
        group = None
        for digest in likenesses(resource.text):
            group = known.get(digest)
            if group is not None:
                break
            seen.append(digest)
        if group is None:
            group = len(unlike)
            unlike.append((resource.type, resource.id, resource.body))
        known.update(dict.fromkeys(seen, group))
        groups.append(group)
        resource.release()
    return groups, unlike


def _judged(items: Sequence[_Item], fhir_version: FhirVersion, workers: int) -> list[_Verdict]:
    if workers < 2 or len(items) < _WORTH_A_WORKER:
        return _judge(items, fhir_version)
    # Spawned, not forked: the engines' threads may hold locks that a forked child would wait for for ever.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(_shared(pool, items, fhir_version, 2 * workers))


def _shared(pool: Executor, items: Sequence[_Item], fhir_version: FhirVersion, ahead: int) -> Iterator[_Verdict]:
    """Verdicts in order, with no more than `ahead` chunks on their way: each is a copy of its resources."""
    under_way: deque[Future[list[_Verdict]]] = deque()
    for start in range(0, len(items), _CHUNK):
        if len(under_way) == ahead:
            yield from under_way.popleft().result()
        under_way.append(pool.submit(_judge, items[start : start + _CHUNK], fhir_version))
    while under_way:
        yield from under_way.popleft().result()


def _judge(items: Sequence[_Item], fhir_version: FhirVersion) -> list[_Verdict]:
    return [paths_of_faults(kind, body, fhir_version) for kind, _, body in items]


def paths_of_faults(kind: str, body: dict[str, Any], fhir_version: FhirVersion) -> tuple[str, ...]:
    """Sorted FHIR paths of the elements that don't conform, each with the kind of fault; empty when all conform."""
    from pydantic import ValidationError

    model = _model(kind, fhir_version)
    if model is None:
        return (f"{kind}: type_unknown_to_{fhir_version}",)
    try:
        model.model_validate(body)
    except ValidationError as error:
        found = {
            f"{_path(kind, item['loc'])}: {item['type']}"
            for item in error.errors(include_url=False, include_input=False, include_context=False)
        }
        return tuple(sorted(found))
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        # Some validators of the models raise before pydantic can say where.
        return (f"{kind}: {type(error).__name__}",)
    return ()


def _path(kind: str, location: tuple[int | str, ...]) -> str:
    """`Encounter.participant.individual`: list positions are left out, so that equal faults read alike."""
    return ".".join([kind, *(str(step) for step in location if isinstance(step, str))])


@cache
def _model(kind: str, fhir_version: FhirVersion) -> Any:
    try:
        module = import_module(f"{_PACKAGES[fhir_version]}.{kind.lower()}")
    except ModuleNotFoundError:
        return None
    return getattr(module, kind, None)
