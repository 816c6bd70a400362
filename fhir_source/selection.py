"""Select by a list of values, in batches that fit a query: codes, ids, patients.

FHIR has every server take `a,b,c` as "or". One that takes it as a single value would answer with nothing, which looks
like an empty cohort; so the first list is compared with what its members give one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fhir_source import references
from fhir_source.errors import SourceMisbehaved
from fhir_source.paging import FilterIgnored, Found, Pager, Query, ShortSearch, batches, escape
from fhir_source.transport import Answer, Refused, Request, Transient, Transport, gathered

if TYPE_CHECKING:
    from collections.abc import Callable

# Of these a bare id is clear; a parameter that takes other types too wants `Patient/id` (FHIR search, reference).
_PATIENTS_ONLY = frozenset({"patient", "beneficiary"})
_GONE = (404, 410)
_LEAST_ROOM = 400  # characters for the values, however much the other parameters take
_SAMPLE = 5  # values that gave nothing, asked again one by one


@dataclass(frozen=True)
class Selection:
    """Rows of a type of which a parameter has one of these values. `hits` says to which values a row answers.

    `hits` gives None for a row that doesn't tell (a reference by identifier only). `also` narrows by further
    parameters, `includes` are values of `_include`. `otherwise`: other parameters that may mean the same, to be tried
    when nothing is found by this one.
    """

    type: str
    parameter: str
    values: tuple[str, ...]
    hits: Callable[[dict[str, Any]], set[str] | None]
    since: str | None = None
    also: tuple[tuple[str, str], ...] = ()
    includes: tuple[str, ...] = ()
    otherwise: tuple[Selection, ...] = ()


class Selector:
    """Runs selections through a pager. Learns once what the server doesn't do: lists, `_include`, `_lastUpdated`."""

    def __init__(self, pager: Pager, transport: Transport) -> None:
        self.pager = pager
        self.read_only: set[str] = set()  # types that can be read, and not searched by id
        self._transport = transport
        self._lists: dict[str, bool] = {}  # by parameter: whether the server takes a list of values as "or"
        self._not_done: set[str] = set()  # "_include of X": asked for, and refused

    async def run(self, selection: Selection, take: Callable[[dict[str, Any]], None]) -> Found:
        """Hand every row to `take`; see Pager.run."""
        together = Found()
        room = max(_LEAST_ROOM, self.pager.room - sum(len(value) for _, value in selection.also))
        for batch in batches(list(selection.values), room):
            if selection.parameter == "_id" and selection.type in self.read_only:
                together.add(await self._read(selection.type, batch, take))
                continue
            if self._lists.get(selection.parameter) is False:
                await self._one_by_one(selection, batch, take, together)
                continue
            hit: set[str] = set()

            def note(row: dict[str, Any], hit: set[str] = hit) -> None:
                hit |= selection.hits(row) or set()
                take(row)

            try:
                together.add(await self._ask(selection, batch, note))
            except (Refused, FilterIgnored):
                if selection.parameter != "_id":
                    raise
                self.read_only.add(selection.type)
                together.notes.add(f"{selection.type}: the server doesn't search by id; each was read on its own")
                together.add(await self._read(selection.type, [value for value in batch if value not in hit], take))
                continue
            missing = [value for value in batch if value not in hit]
            unknown = selection.parameter not in self._lists and len(batch) > 1
            if unknown and await self._lists_fail(selection, len(hit), missing):
                together.notes.add("the server doesn't take lists of values: it was asked for each value on its own")
                await self._one_by_one(selection, missing, take, together)
        for other in selection.otherwise if selection.values and not together.rows else ():
            if await self._finds(other, like=selection):
                together.notes.add(f"{selection.type}: found by {other.parameter}, and not by {selection.parameter}")
                together.add(await self.run(other, take))
                break
        return together

    async def _finds(self, selection: Selection, *, like: Selection) -> bool:
        """Whether a parameter that a server doesn't list finds anything. `like` was asked before it."""
        batch = next(batches(list(selection.values), self.pager.room))
        singly = self._lists.get(like.parameter) is False
        try:
            for values in [[value] for value in batch[:_SAMPLE]] if singly else [batch]:
                if (await self._ask(selection, values, lambda _: None)).rows:
                    return True
        except (Refused, FilterIgnored):
            return False  # it doesn't know it
        return False

    async def _read(self, resource_type: str, ids: list[str], take: Callable[[dict[str, Any]], None]) -> Found:
        """Read resources one by one, as many at once as the server takes; those that are gone are passed over."""
        found = Found()
        about = f"a read of a {resource_type}"

        def fault(answer: Answer) -> Transient | None:
            if answer.status in _GONE or answer.body.get("resourceType") == resource_type:
                return None
            return Transient(f"it answered {about} with something else", ends_as=SourceMisbehaved)

        async def one(identity: str) -> Answer:
            url = self._transport.url(f"{resource_type}/{quote(identity, safe='')}")
            return await self._transport.json(Request(url, statuses=frozenset({200, *_GONE}), about=about), fault)

        for answer in await gathered([one(identity) for identity in ids]):
            if answer.status not in _GONE:
                found.rows += 1
                take(answer.body)
        return found

    async def _lists_fail(self, selection: Selection, hits: int, missing: list[str]) -> bool:
        """Learn from the first lists whether the server reads them as such."""
        if hits > 1:
            self._lists[selection.parameter] = True
            return False
        # Codes that nobody has are no exception: only if none at all is found must every one of them be tried.
        sample = missing if selection.parameter == "code" and not hits else missing[:_SAMPLE]
        for value in sample:
            found = await self._ask(selection, [value], lambda _: None)
            if found.rows:
                self._lists[selection.parameter] = False
                return True
        return False

    async def _one_by_one(
        self, selection: Selection, values: list[str], take: Callable[[dict[str, Any]], None], together: Found
    ) -> None:
        for value in values:
            together.add(await self._ask(selection, [value], take))

    async def _ask(self, selection: Selection, batch: list[str], take: Callable[[dict[str, Any]], None]) -> Found:
        """One search; without what the server turns out not to do, when it can be done without."""
        dated = f"{selection.type}: the server refuses _lastUpdated: everything was asked for"
        included = f"{selection.type}: the server refuses _include"
        while True:
            query = self._query(
                selection,
                batch,
                since=None if dated in self._not_done else selection.since,
                includes=() if included in self._not_done else selection.includes,
            )
            try:
                found = await self.pager.run(query, take)
            except (Refused, ShortSearch) as error:
                # With included rows the server may have miscounted. Neither is worth a pull.
                if query.includes:
                    self._not_done.add(included)
                elif query.since and isinstance(error, Refused):
                    self._not_done.add(dated)
                else:
                    raise
                if isinstance(error, ShortSearch):
                    raise  # some rows were taken: the unit begins anew
                continue
            if selection.since and not query.since:
                found.notes.add(dated)
            return found

    def _query(self, selection: Selection, batch: list[str], *, since: str | None, includes: tuple[str, ...]) -> Query:
        wanted = set(batch)

        def belongs(row: dict[str, Any]) -> bool:
            hits = selection.hits(row)
            return hits is None or bool(hits & wanted)

        filters = ((selection.parameter, ",".join(batch)), *selection.also)
        return Query(selection.type, filters, belongs, since, includes)


def by_code(resource_type: str, pairs: list[tuple[str, str]]) -> Selection:
    """Rows with one of these (system, code) pairs."""
    values: dict[str, set[str]] = {}  # by what they are without regard to case, as a server may search
    for pair in pairs:
        values.setdefault(token(pair).casefold(), set()).add(token(pair))

    def codes(row: dict[str, Any]) -> set[str]:
        return {value for code in _codes(row) & values.keys() for value in values[code]}

    return Selection(resource_type, "code", tuple(map(token, pairs)), codes)


def by_id(resource_type: str, ids: list[str]) -> Selection:
    """Rows with one of these ids."""
    return Selection(resource_type, "_id", tuple(ids), lambda row: {str(row.get("id"))})


def by_patient(
    resource_type: str,
    parameter: str,
    ids: list[str],
    since: str | None,
    *,
    bare: bool,
    also: tuple[tuple[str, str], ...] = (),
) -> Selection:
    """Rows that refer to one of these Patients, through the parameter that the server offers for it.

    `bare`: ids alone where the parameter is of Patients only, else `Patient/id`.
    """
    prefix = "" if bare and parameter in _PATIENTS_ONLY else "Patient/"

    def patients(row: dict[str, Any]) -> set[str] | None:
        return {prefix + identity for identity in references.to_type(row, "Patient")} or None

    values = tuple(prefix + identity for identity in ids)
    return Selection(resource_type, parameter, values, patients, since, also)


def by_practitioner(ids: list[str]) -> Selection:
    """PractitionerRoles of these Practitioners: it is the role that tells the specialty, and refers to the person."""

    def practitioners(row: dict[str, Any]) -> set[str] | None:
        found = references.to_type(row.get("practitioner") or {}, "Practitioner")
        return {f"Practitioner/{identity}" for identity in found} or None

    values = tuple(f"Practitioner/{identity}" for identity in ids)
    return Selection("PractitionerRole", "practitioner", values, practitioners)


def by_identifier(resource_type: str, identifiers: list[tuple[str, str]]) -> Selection:
    """Rows with one of these (system, value) identifiers; an empty system is any."""

    def carried(row: dict[str, Any]) -> set[str]:
        found = row.get("identifier")
        entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        pairs = {(str(one.get("system") or ""), str(one.get("value") or "")) for one in entries}
        pairs |= {("", value) for _, value in pairs}
        return {token(pair) for pair in identifiers if pair in pairs}

    return Selection(resource_type, "identifier", tuple(map(token, identifiers)), carried)


def token(pair: tuple[str, str]) -> str:
    """`system|code` as a search value; the code alone when there is no system."""
    system, code = pair
    return f"{escape(system)}|{escape(code)}" if system else escape(code)


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
    pairs = [(str(one.get("system") or ""), str(one.get("code"))) for one in codings if isinstance(one, dict)]
    return {token(pair).casefold() for pair in pairs}
