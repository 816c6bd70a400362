"""Erasing one infant from the warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhir_source.landing import LandingZone
from pipeline.database import open_warehouse
from pipeline.hash_key import hash_key
from warehouse import retention

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.settings import Settings


@dataclass(frozen=True)
class Erased:
    """What was removed: Patient records that were one person, rows by table; and the pulls whose files remain."""

    patients: int
    rows: dict[str, int]
    landed_pulls: list[str]


def erase(settings: Settings, source: str, infant: str, clock: Clock, *, reason: str) -> Erased:
    """Remove an infant from every table, and keep them from coming back with a later pull or replay.

    The ledger's counts stay, and so do landed files: those pulls are named. `reason` must hold no PHI.
    Raises InfantUnknown, HashKeyChanged.
    """
    with open_warehouse(settings) as engine:
        done = retention.erase(engine, source, infant, hash_key=hash_key(settings), at=clock.now, reason=reason)
    landed = [manifest.pull_id for manifest in LandingZone(settings.landing_root).pulls(source)]
    return Erased(done.patients, done.rows, landed)
