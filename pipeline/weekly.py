"""The steps of the weekly run: measure, detect, alert, publish, notify. Each is idempotent for one as-of date."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.database import open_warehouse
from pipeline.records import Weekly
from surveillance import weekly as surveillance
from surveillance.outbox import FileOutbox
from surveillance.settings import SurveillanceSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from pipeline.clock import Clock
    from pipeline.settings import Settings

    Progress = Callable[[str, int], None]


def run_id(as_of: date) -> str:
    """One run an as-of date: running again is the same run."""
    return f"weekly-{as_of.isoformat()}"
