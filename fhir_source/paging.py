"""One FHIR search, page by page, believing nothing that can be checked.

A server may drop a parameter and answer with everything, cut a search short, repeat pages, loop, or put an
OperationOutcome where resources should be. What was asked is compared with the self link and with the rows; what
came, with `total`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import orjson

from fhir_source.errors import CredentialsRefused, SourceMisbehaved, SourceUnreachable
from fhir_source.pages import links, older, page_fault, remarks, rows, total_of, version
from fhir_source.transport import Refused, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fhir_source.transport import Answer, Transport

_MOST_STALE_PAGES = 3  # in a row, without a new row, before it is a loop
_MOST_EMPTY_PAGES = 50  # in a row; some servers filter after paging
_NOT_BY_GET = frozenset({400, 404, 405})
_GET_ROOM = 1800  # characters of a query string that every server and proxy takes
_POST_ROOM = 4000  # the server's own `next` links repeat the query as a URL


class FilterIgnored(SourceMisbehaved):
    """The server answers a search with rows that were not asked for."""


class ShortSearch(Exception):
    """Fewer rows came than the server had announced. `what` is free of PHI."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Query:
    """A search of one type. `belongs` says whether a row is what was asked for."""

    type: str
    filters: tuple[tuple[str, str], ...]
    belongs: Callable[[dict[str, Any]], bool]
    since: str | None = None  # instant for _lastUpdated=ge
    includes: tuple[str, ...] = ()  # values of _include

    @property
    def parameters(self) -> list[tuple[str, str]]:
        dated = [("_lastUpdated", f"ge{self.since}")] if self.since else []
        return [*self.filters, *dated, *(("_include", value) for value in self.includes)]


@dataclass
class Found:
    """What a search came to: rows taken, the server's time at its first page, and remarks."""

    rows: int = 0
    repeated: int = 0
    date: str | None = None
    notes: set[str] = field(default_factory=set)

    def add(self, other: Found) -> None:
        """Take up what a further search came to."""
        self.rows += other.rows
        self.repeated += other.repeated
        self.date = self.date or other.date
        self.notes |= other.notes


@dataclass
class _Progress:
    """What has been seen of one search so far."""

    ids: set[str] = field(default_factory=set)
    versions: set[tuple[str, str]] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)
    total: int | None = None
    pages: int = 0
    stale: int = 0
    empty: int = 0

    @property
    def short(self) -> bool:
        """Fewer rows came than were announced."""
        return self.total is not None and len(self.ids) < self.total


class Pager:
    """Runs searches on one server. Remembers whether the server takes `POST _search`."""

    def __init__(self, transport: Transport, page_size: int, *, post: bool | None = None) -> None:
        self.post = post  # None: not tried yet
        self._transport = transport
        self._page_size = page_size
        self._counts: bool | None = None  # whether the server counts when asked; None: not asked yet
        self._source = transport.source.name

    @property
    def room(self) -> int:
        """Characters that the filters of one query may take."""
        return _POST_ROOM if self.post else _GET_ROOM

    async def run(self, query: Query, take: Callable[[dict[str, Any]], None]) -> Found:
        """Hand every row to `take`, matches and included rows alike, each version once.

        Raises ShortSearch when fewer came than announced, SourceMisbehaved for a dropped filter, for loops and for
        links to another origin, and what Transport raises.
        """
        found = Found()
        seen = _Progress()
        answer = await self._first(query)
        found.date = answer.headers.get("date")
        await self._follow(query, answer, seen, found, take)
        if seen.total is None:
            seen.total = await self._count(query)
        elif seen.short:
            # The `total` of a page may be an estimate (FHIR Bundle.total); what a count says is meant.
            counted = await self._count(query)
            if counted is not None and counted < seen.total:
                found.notes.add(f"{query.type}: the server's totals are estimates; its counts were taken instead")
                seen.total = counted
        if seen.short and seen.pages == 1:
            # Some servers cut at _count and give no `next` link: the whole is had on one page, then.
            found.notes.add(f"{query.type}: the server gives no next links; all rows were asked for at once")
            answer = self._checked(query, await self._ask(query, ("_count", str(seen.total)), post=bool(self.post)))
            await self._follow(query, answer, seen, found, take)
            found.repeated = 0  # the first page, again
        if seen.short:
            raise ShortSearch(f"a search of {query.type} announced {seen.total} rows and gave {len(seen.ids)}")
        return found

    async def _follow(
        self, query: Query, answer: Answer, seen: _Progress, found: Found, take: Callable[[dict[str, Any]], None]
    ) -> None:
        """Take a page and all that follow it."""
        while True:
            self._take_page(query, answer, seen, found, take)
            following = self._next(answer, seen)
            if following is None:
                return
            answer = self._checked(query, await self._page(query, following))

    async def _first(self, query: Query) -> Answer:
        """The first page, by POST where the server takes it: patient ids in a URL end up in the logs of proxies."""
        size = ("_count", str(self._page_size))
        if self.post is None:
            return self._checked(query, await self._try_post(query, size))
        return self._checked(query, await self._ask(query, size, post=self.post))

    async def _try_post(self, query: Query, size: tuple[str, str]) -> Answer:
        """Learn whether the server takes POST: some refuse it, some break, some pass over what the body asks."""
        try:
            posted = await self._ask(query, size, post=True)
        except (Refused, CredentialsRefused):
            self.post = False
        except SourceUnreachable as error:
            if error.status != 500:
                raise
            self.post = False
        else:
            if _dropped(query, posted):
                self.post = False
            elif any(rows(posted.body, query.type)):
                self.post = True
            if self.post:
                return posted
        answer = await self._ask(query, size, post=False)
        if self.post is None:  # nothing was found by POST: is that the truth?
            self.post = not any(rows(answer.body, query.type))
        return answer

    async def _ask(self, query: Query, more: tuple[str, str], *, post: bool) -> Answer:
        parameters = [*query.parameters, more]
        about = f"a search of {query.type}"
        if post:
            form: dict[str, list[str]] = {}
            for name, value in parameters:
                form.setdefault(name, []).append(value)
            url = self._transport.url(f"{query.type}/_search")
            request = Request(url, method="POST", form=form, about=about)
        else:
            request = Request(f"{self._transport.url(query.type)}?{urlencode(parameters)}", about=about)
        return await self._transport.json(request, lambda page: page_fault(page, query.type))

    async def _page(self, query: Query, url: str) -> Answer:
        """A further page. Raises ShortSearch when the server has forgotten the search meanwhile."""
        request = Request(url, about=f"a page of a search of {query.type}")
        try:
            return await self._transport.json(request, lambda page: page_fault(page, query.type))
        except Refused as refused:
            if self.post and refused.status in _NOT_BY_GET and urlsplit(url).path.endswith("/_search"):
                self.post = False  # its further pages want another POST: the search begins anew, by GET
            raise ShortSearch(f"a page of a search of {query.type} was refused ({refused.status})") from None

    async def _count(self, query: Query) -> int | None:
        """How many rows there are, of a server that doesn't say so on its pages; None when it doesn't at all."""
        if self._counts is False:
            return None
        try:
            answer = await self._ask(query, ("_summary", "count"), post=bool(self.post))
        except (Refused, SourceMisbehaved):
            answer = None
        total = total_of(answer.body) if answer else None
        self._counts = total is not None
        return total

    def _checked(self, query: Query, answer: Answer) -> Answer:
        names = _dropped(query, answer)
        if names:
            raise FilterIgnored(
                f"The server ignores the search parameter {names} of {query.type} and answers with rows not asked for",
                source=self._source,
                next_step="pull this server by Bulk Data export, or leave the type out",
            )
        return answer

    def _take_page(
        self, query: Query, answer: Answer, seen: _Progress, found: Found, take: Callable[[dict[str, Any]], None]
    ) -> None:
        total = total_of(answer.body)
        if total is not None:
            # Rows may be deleted while we page: the smaller of the totals is owed.
            seen.total = total if seen.total is None else min(total, seen.total)
        entries = fresh = 0
        for mode, row in rows(answer.body, query.type):
            if mode == "outcome":
                found.notes.update(remarks(row, query.type))
                continue
            entries += 1
            identity = f"{row.get('resourceType')}/{row.get('id')}" if row.get("id") else orjson.dumps(row).hex()
            known = (identity, version(row))
            if known in seen.versions:
                found.repeated += 1
                continue
            fresh += 1
            seen.versions.add(known)
            if mode == "match":
                seen.ids.add(identity)
                if not query.belongs(row):
                    found.notes.add(f"{query.type}: the server's search also finds rows that were not asked for")
                if query.since and older(row, query.since):
                    found.notes.add(f"{query.type}: _lastUpdated was not honoured by the server")
            found.rows += 1
            take(row)
        seen.pages += 1
        seen.empty = 0 if entries else seen.empty + 1
        seen.stale = 0 if fresh or not entries else seen.stale + 1

    def _next(self, answer: Answer, seen: _Progress) -> str | None:
        link = next((link for link in links(answer.body) if link.get("relation") == "next"), None)
        if link is None or not isinstance(link.get("url"), str):
            return None
        # A relative link is relative to the service's base (FHIR Bundle.link); a mere query, to the page it is on.
        here = answer.url if link["url"].startswith("?") else f"{self._transport.base}/"
        url: str = urljoin(here, link["url"])
        seen.urls.add(answer.url)
        if url in seen.urls or seen.stale >= _MOST_STALE_PAGES or seen.empty >= _MOST_EMPTY_PAGES:
            raise SourceMisbehaved(
                "The server's `next` links go round in a circle",
                source=self._source,
                next_step="report it to the server's operator; another page_size may avoid it",
            )
        return url


def _dropped(query: Query, answer: Answer) -> str | None:
    """The filters that the server seems not to have applied, None when the rows are what was asked for."""
    matches = [row for mode, row in rows(answer.body, query.type) if mode == "match"]
    strangers = sum(not query.belongs(row) for row in matches)
    if not strangers:
        return None
    link = next((link for link in links(answer.body) if link.get("relation") == "self"), {})
    echoed = {name.split(":")[0] for name, _ in parse_qsl(urlsplit(str(link.get("url", ""))).query)}
    missing = [name for name, _ in query.filters if name.split(":")[0] not in echoed]
    if not missing and strangers * 2 <= len(matches):
        return None
    return ", ".join(missing or [name for name, _ in query.filters])


def batches(values: list[str], room: int) -> Iterator[list[str]]:
    """Split search values so that each batch, joined by commas and percent-encoded, takes at most `room` characters."""
    batch: list[str] = []
    used = 0
    for value in values:
        length = len(urlencode({"": value})) + 2  # the comma takes three, the equals sign goes
        if batch and used + length > room:
            yield batch
            batch, used = [], 0
        batch.append(value)
        used += length
    if batch:
        yield batch


def escape(value: str) -> str:
    """Escape a search value: `\\`, `,`, `$` and `|` have meanings (FHIR search, escaping search parameters)."""
    for sign in "\\,$|":
        value = value.replace(sign, "\\" + sign)
    return value
