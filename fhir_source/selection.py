"""Select by a list of values, in batches that fit a query: codes, ids, patients.

FHIR has every server take `a,b,c` as "or". One that takes it as a single value would answer with nothing, which looks
like an empty cohort; so the first list is compared with what its members give one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_source import references
from fhir_source.paging import Found, Pager, Query, batches, escape

if TYPE_CHECKING:
    from collections.abc import Callable

# Of these a bare id is clear; a parameter that takes other types too wants `Patient/id` (FHIR search, reference).
_PATIENTS_ONLY = frozenset({"patient", "beneficiary"})
_SAMPLE = 5  # values that gave nothing, asked again one by one


@dataclass(frozen=True)
class Selection:
    """Rows of a type of which a parameter has one of these values. `hits` says to which values a row answers.

    `hits` gives None for a row that doesn't tell (a reference by identifier only).
    """

    type: str
    parameter: str
    values: tuple[str, ...]
    hits: Callable[[dict[str, Any]], set[str] | None]
    since: str | None = None


class Selector:
    """Runs selections through a pager. Learns once whether the server understands lists."""

    def __init__(self, pager: Pager) -> None:
        self.pager = pager
        self._lists: bool | None = None

    async def run(self, selection: Selection, take: Callable[[dict[str, Any]], None]) -> Found:
        """Hand every row to `take`; see Pager.run."""
        together = Found()
        for batch in batches(list(selection.values), self.pager.room):
            if self._lists is False:
                await self._one_by_one(selection, batch, take, together)
                continue
            hit: set[str] = set()

            def note(row: dict[str, Any], hit: set[str] = hit) -> None:
                hit |= selection.hits(row) or set()
                take(row)

            together.add(await self._ask(selection, batch, note))
            missing = [value for value in batch if value not in hit]
            if self._lists is None and len(batch) > 1 and await self._lists_fail(selection, len(hit), missing):
                together.notes.add("the server doesn't take lists of values: it was asked for each value on its own")
                await self._one_by_one(selection, missing, take, together)
        return together

    async def _lists_fail(self, selection: Selection, hits: int, missing: list[str]) -> bool:
        """Learn from the first lists whether the server reads them as such."""
        if hits > 1:
            self._lists = True
            return False
        # Codes that nobody has are no exception: only if none at all is found must every one of them be tried.
        sample = missing if selection.parameter == "code" and not hits else missing[:_SAMPLE]
        for value in sample:
            found = await self._ask(selection, [value], lambda _: None)
            if found.rows:
                self._lists = False
                return True
        return False

    async def _one_by_one(
        self, selection: Selection, values: list[str], take: Callable[[dict[str, Any]], None], together: Found
    ) -> None:
        for value in values:
            together.add(await self._ask(selection, [value], take))

    async def _ask(self, selection: Selection, batch: list[str], take: Callable[[dict[str, Any]], None]) -> Found:
        wanted = set(batch)

        def belongs(row: dict[str, Any]) -> bool:
            hits = selection.hits(row)
            return hits is None or bool(hits & wanted)

        query = Query(selection.type, ((selection.parameter, ",".join(batch)),), belongs, selection.since)
        return await self.pager.run(query, take)


def by_code(resource_type: str, pairs: list[tuple[str, str]]) -> Selection:
    """Rows with one of these (system, code) pairs."""
    return Selection(resource_type, "code", tuple(f"{escape(s)}|{escape(c)}" for s, c in pairs), _codes)


def by_id(resource_type: str, ids: list[str]) -> Selection:
    """Rows with one of these ids."""
    return Selection(resource_type, "_id", tuple(ids), lambda row: {str(row.get("id"))})


def by_patient(resource_type: str, parameter: str, ids: list[str], since: str | None) -> Selection:
    """Rows that refer to one of these Patients, through the parameter that the server offers for it."""
    prefix = "" if parameter in _PATIENTS_ONLY else "Patient/"

    def patients(row: dict[str, Any]) -> set[str] | None:
        return {prefix + identity for identity in references.to_type(row, "Patient")} or None

    return Selection(resource_type, parameter, tuple(prefix + identity for identity in ids), patients, since)


def by_link(ids: list[str]) -> Selection:
    """Patients that are linked to one of these: other records of the same person."""
    values = tuple(f"Patient/{identity}" for identity in ids)
    return Selection("Patient", "link", values, lambda row: {f"Patient/{identity}" for identity in linked(row)})


def linked(patient: dict[str, Any]) -> set[str]:
    """Ids of the Patients that a Patient is linked to."""
    links = patient.get("link")
    others = [link.get("other") for link in links if isinstance(link, dict)] if isinstance(links, list) else []
    return {identity for other in others for identity in references.to_type(other, "Patient")}


def _codes(row: dict[str, Any]) -> set[str]:
    code = row.get("code")
    codings = code.get("coding") if isinstance(code, dict) else None
    if not isinstance(codings, list):
        return set()
    return {
        f"{escape(str(coding.get('system')))}|{escape(str(coding.get('code')))}"
        for coding in codings
        if isinstance(coding, dict)
    }
