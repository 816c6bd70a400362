"""Units of a search pull: each selects rows and ends in one landed file."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from fhir_source.errors import PullIncomplete
from fhir_source.paging import Found, ShortSearch
from fhir_source.source import REFERENCED_TYPES
from fhir_source.transport import gathered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from fhir_source.landing import LandedFile
    from fhir_source.selection import Selection, Selector
    from fhir_source.source import Source
    from fhir_source.writer import PullWriter, Unit

_MOST_INCLUDED = 20_000  # rows kept in memory, about 1 kB each
_TRIES = 3  # of a search that comes up short


class Units:
    """Lands selections, a bounded number at once; what an interrupted run left whole is not asked for again."""

    def __init__(
        self, source: Source, writer: PullWriter, selector: Selector, progress: Callable[[str, int], None] | None
    ) -> None:
        self.source = source
        self.writer = writer
        self.selector = selector
        self._progress = progress
        self._workers = asyncio.Semaphore(source.concurrency)
        self.included: dict[tuple[str, str], dict[str, Any]] = {}  # by type and id
        self._files: Counter[str] = Counter()  # landed names given out, by type

    async def land(
        self,
        name: str,
        selection: Selection,
        look: Callable[[dict[str, Any]], None] = lambda _: None,
        facts: Callable[[], Awaitable[dict[str, Any]]] | None = None,
        given: Iterable[dict[str, Any]] = (),
        keep: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> Unit:
        """Land one file: the rows of a selection, after those `given`. `look` sees each; `facts` is asked for what to
        remember of them; a row that is not to `keep` is passed over.
        """
        kind = selection.type
        path = f"{kind}.{self._files[kind]:03d}.ndjson.gz"
        self._files[kind] += 1
        done = self.writer.units.get(name)
        if done:
            return done
        async with self._workers:
            with self.writer.spool(name) as spool:

                def take(row: dict[str, Any]) -> None:
                    if row.get("resourceType") != kind:
                        self._include(row)
                    elif keep(row):
                        spool.write(orjson.dumps(row) + b"\n", 1)
                        look(row)

                async def fill() -> Found:
                    spool.restart()
                    for row in given:
                        take(row)
                    return await self.selector.run(selection, take)

                found = await self.whole(fill)
                if self._progress and spool.rows:
                    self._progress(kind, spool.rows)
                if found.repeated:
                    found.notes.add(f"{kind}: rows came twice in a search and were taken once")
                return spool.finish(path, kind, notes=sorted(found.notes), **(await facts() if facts else {}))

    def _include(self, row: dict[str, Any]) -> None:
        """Keep a row that came along, until it turns out to be referred to. What is not kept is asked for by id."""
        if row.get("resourceType") in REFERENCED_TYPES and row.get("id") and len(self.included) < _MOST_INCLUDED:
            self.included[str(row["resourceType"]), str(row["id"])] = row

    async def whole(self, search: Callable[[], Awaitable[Found]]) -> Found:
        """Search until it isn't short any more, a few times."""
        for _ in range(_TRIES - 1):
            try:
                return await search()
            except ShortSearch:
                continue
        try:
            return await search()
        except ShortSearch as short:
            raise self._incomplete(short) from None

    def _incomplete(self, short: ShortSearch) -> PullIncomplete:
        return PullIncomplete(
            f"The server cut the pull short: {short.what}",
            source=self.source.name,
            kept="the files that were whole, for the next attempt",
            next_step="run the pull again",
        )

    async def in_parallel(self, jobs: Iterable[Coroutine[Any, Any, Unit]]) -> list[Unit]:
        """Run units, a bounded number at once; the first error ends all."""
        return await gathered(jobs)

    def landed(self) -> list[LandedFile]:
        return sorted((unit.file for unit in self.writer.units.values() if unit.file), key=lambda file: file.path)
