"""The daily message to the clinical role: how many infants wait now, and where to find them. No PHI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.database import open_warehouse
from pipeline.weekly import options
from surveillance import worklist
from surveillance.knowledge import known_on
from surveillance.outbox import enqueue
from warehouse.errors import translated

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.settings import Settings


@dataclass(frozen=True)
class Told:
    """`waiting`: infants on the work list; `message_id` None when nobody waits; `fresh`: written by this call."""

    waiting: int
    message_id: str | None
    fresh: bool


def tell(settings: Settings, clock: Clock) -> Told:
    """Put the day's work-list message into the outbox, once; nothing when nobody waits."""
    told = options(settings)
    with open_warehouse(settings) as engine, translated(), engine.begin() as connection:
        read = known_on(connection, clock.today)
        rows = worklist.waiting_infants(read.known, as_of=clock.today, settings=told, through=read.through)
        message = worklist.daily_message(rows, as_of=clock.today, settings=told, through=read.through)
        if message is None:
            return Told(0, None, fresh=False)
        fresh = enqueue(connection, message, f"worklist-{clock.today}")
    return Told(worklist.count(rows), message.id, fresh)
