"""Timelines with the contract's columns, for tests."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sqlalchemy import insert, update

from fhir_mapping.contract import COLUMNS, INTERVALS
from warehouse.schema.clinical import ReferralTimeline

if TYPE_CHECKING:
    from sqlalchemy import Engine

START = date(2024, 1, 1)


def timelines(
    infants: int = 300,
    *,
    seed: int = 1,
    weeks: int = 104,
    late: float = 0.35,
    odds_ratio: float = 1.0,
    sites: int = 2,
    data_end: date | None = None,
) -> pd.DataFrame:
    """A cohort whose infants of `nh_black` have `odds_ratio` times the odds of a late neurologist (I2)."""
    rng = np.random.default_rng(seed)
    end = data_end or START + timedelta(weeks=weeks)
    odds = late / (1 - late) * odds_ratio
    shares = {"nh_white": 0.5, "nh_black": 0.2, "hispanic": 0.2, "unknown": 0.1}
    rows = []
    for i in range(infants):
        race = str(rng.choice(list(shares), p=list(shares.values())))
        first = START + timedelta(days=int(rng.integers(0, weeks * 7)))
        is_late = rng.random() < (odds / (1 + odds) if race == "nh_black" else late)
        waited = int(rng.integers(8, 40)) if is_late else int(rng.integers(0, 8))
        neurology = first + timedelta(days=waited)
        diagnosis = neurology + timedelta(days=int(rng.integers(0, 3)))
        first_line = diagnosis + timedelta(days=int(rng.integers(0, 12)))
        rows.append(
            row(
                infant=f"inf-{i:04d}",
                source=f"site{i % sites}",
                race_ethnicity=race,
                payer=str(rng.choice(["public", "private", "unknown"], p=[0.4, 0.5, 0.1])),
                language=str(rng.choice(["en", "es", "unknown"], p=[0.7, 0.2, 0.1])),
                first_provider=first,
                neurology=neurology,
                diagnosis=diagnosis,
                first_line=first_line,
                data_end=end,
            )
        )
    # What lies after the end of the data isn't there: undiagnosed infants have no row at all.
    kept = [r for r in rows if r["diagnosis"] is not None]
    return pd.DataFrame(kept, columns=[column.name for column in COLUMNS])


def store(engine: Engine, rows: pd.DataFrame, known_at: datetime, pull_id: str = "20260101T000000Z") -> None:
    """Make `rows` the current timelines, as a load at `known_at` would; those of before are closed."""
    with engine.begin() as connection:
        table = ReferralTimeline.__table__
        closed = {"valid_to": known_at, "closed_by": pull_id}
        connection.execute(update(table).where(table.c.valid_to.is_(None)).values(**closed))
        records = rows.astype(object).where(rows.notna(), None).to_dict("records")
        opened = {"valid_from": known_at, "pull_id": pull_id, "content_sha256": "0" * 64, "evidence": {}}
        connection.execute(insert(table), [{**{str(k): v for k, v in record.items()}, **opened} for record in records])


def row(
    *,
    infant: str = "inf-1",
    source: str = "site0",
    first_provider: date | None = START,
    neurology: date | None = None,
    diagnosis: date | None = None,
    first_line: date | None = None,
    data_end: date = START + timedelta(days=365),
    **others: object,
) -> dict[str, object]:
    """One timeline row; milestones after `data_end` are not in the data."""
    milestones = {
        "first_provider": first_provider,
        "neurology": neurology,
        "diagnosis": diagnosis,
        "first_line": first_line,
    }
    known = {name: day if day is not None and day <= data_end else None for name, day in milestones.items()}
    record: dict[str, object] = {column.name: None for column in COLUMNS}
    record |= {
        "source": source,
        "infant": infant,
        "cohort": "definite",
        "sex": "female",
        "pathway": "referred",
        "race_ethnicity": "unknown",
        "bipoc": "unknown",
        "payer": "unknown",
        "language": "unknown",
        "interpreter": "unknown",
        "censored_on": data_end,
        "flags": "",
        "first_treatment": known["first_line"],
        "first_treatment_drug": "acth" if known["first_line"] else None,
        **known,
        **others,
    }
    for interval in INTERVALS:
        record |= _wait(record, interval.name, interval.start, interval.stop)
    return record


def _wait(record: dict[str, object], name: str, start: str, stop: str) -> dict[str, object]:
    begin, finish, end = record.get("onset_low" if start == "onset" else start), record[stop], record["censored_on"]
    if not isinstance(begin, date) or not isinstance(end, date):
        return {f"status_{name}": "missing", f"delayed_{name}": "not_applicable"}
    event = isinstance(finish, date)
    days = max(0, ((finish if isinstance(finish, date) else end) - begin).days)
    delayed = "yes" if days > 7 else "no" if event else "pending"
    return {
        f"status_{name}": "event" if event else "censored",
        f"days_{name}_low": days,
        f"days_{name}_high": days,
        f"delayed_{name}": delayed,
    }
