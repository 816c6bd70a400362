"""The linked tables of a release: whose counts add up to what, and which counts are of almost the same infants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

from surveillance.measures.registry import DIMENSIONS, UNKNOWN
from surveillance.measures.registry import measures as registry
from surveillance.results import EVERYONE
from warehouse.attack import Cell, RowKey
from warehouse.linked import FIGURES, Level, Row, Tables

if TYPE_CHECKING:
    import pandas as pd

#: What must keep its counts when another has to give way: the primary measures, then the registry's order.
FIRST = ("I2", "I6")
#: The usual order of the milestones: a wait that lies inside another can't be late without it being late, too.
CLOCK = ("onset", "first_provider", "referral", "neurology", "eeg", "diagnosis", "first_line")
#: `bipoc` adds up groups of `race_ethnicity`.
_WHOLE_OF = {"nh_white": "no", "unknown": "unknown", "declined": "unknown"}
#: Infants of the first group are all in the second.
_INSIDE = ((("interpreter", "yes"), ("language_group", "not_en")),)
#: Dimensions that are made of others, or stand beside one that says nearly the same.
_DERIVED = frozenset({"bipoc", "interpreter"})
#: Infants without a value of a dimension; a row that is never shown.
_NOT_RECORDED = "not recorded"

Sum = tuple[RowKey, Sequence[RowKey]]


class Release(NamedTuple):
    """One release: its run, its rows of estimand `prop` with true counts, and the level that each was shown at."""

    run_id: str
    proportions: pd.DataFrame
    levels: Mapping[RowKey, Level]


def row_key(run_id: str, record: Mapping[Any, Any]) -> RowKey:
    """The row that a result is about."""
    return (run_id, str(record["metric_id"]), str(record["stratum_dimension"]), str(record["stratum_value"]))


def reference_key(key: RowKey, record: Mapping[Any, Any]) -> RowKey | None:
    """The row that it is compared with, if any."""
    return (*key[:3], str(record["reference_value"])) if record["reference_value"] else None


def linked_tables(now: Release, earlier: Sequence[Release], missing: Iterable[str] = ()) -> Tables:
    """All that a reader of the release `now`, and of those before it, the oldest first, can put together.

    `missing` are sources that have fallen silent.
    """
    rows, sums = _with_remainders(_rows(now))
    past: dict[RowKey, tuple[Row, Level]] = {}
    for release in earlier:
        held, added = _with_remainders(_rows(release))
        sums += added
        past |= {key: (row, release.levels.get(key, "nothing")) for key, row in held.items()}
    silent = frozenset(key for key in rows if key[2] == "source" and key[3] in set(missing))
    told = {**past, **rows}
    nested = [*_grown(rows, past), *_inside(told)]
    shares_only = frozenset(key for key in rows if key[1] not in FIRST and key[2] != EVERYONE)
    return Tables(rows, sums, nested, list(_alike(told)), past, silent, shares_only)


def _rows(release: Release) -> dict[RowKey, Row]:
    """True counts by row, the most important first."""
    order = {name: place for place, name in enumerate((*FIRST, *(name for name in registry() if name not in FIRST)))}
    dimensions = {name: place for place, name in enumerate((EVERYONE, *DIMENSIONS))}
    found = {
        row_key(release.run_id, record): Row(int(record["n_matured"]), int(record["n_late"]))
        for record in release.proportions.to_dict("records")
    }

    def place(key: RowKey) -> tuple[int, bool, bool, int, int, str]:
        # What is derived gives way to what it is derived from, the unknown to the known, the small to the large.
        derived, unknown = key[2] in _DERIVED, key[3] in UNKNOWN
        return order.get(key[1], len(order)), derived, unknown, dimensions[key[2]], -found[key].n, key[3]

    return {key: found[key] for key in sorted(found, key=place)}


def _with_remainders(rows: dict[RowKey, Row]) -> tuple[dict[RowKey, Row], list[Sum]]:
    """The rows, with one for the infants that a dimension leaves out, and the sums that they stand in."""
    completed = dict(rows)
    sums: list[Sum] = []
    tables: dict[RowKey, list[RowKey]] = {}
    for key in rows:
        tables.setdefault(key[:3], []).append(key)
    for (run_id, metric_id, dimension), parts in tables.items():
        whole = (run_id, metric_id, EVERYONE, EVERYONE)
        if dimension == EVERYONE or whole not in rows:
            continue
        n, late = (rows[whole][figure] - sum(rows[part][figure] for part in parts) for figure in ("n", "late"))
        if n:
            parts.append((run_id, metric_id, dimension, _NOT_RECORDED))
            completed[parts[-1]] = Row(n, late)
        sums.append((whole, parts))
        if dimension == "race_ethnicity":
            sums += _derived(completed, parts)
    return completed, sums


def _derived(rows: Mapping[RowKey, Row], races: Sequence[RowKey]) -> Iterator[Sum]:
    """`bipoc` is the sum of groups of race and ethnicity."""
    for value in ("yes", "no", "unknown"):
        parts = [race for race in races if _WHOLE_OF.get(race[3], "yes") == value]
        whole = (*races[0][:2], "bipoc", value)
        if whole in rows and parts and sum(rows[part].n for part in parts) == rows[whole].n:
            yield whole, parts


def _grown(now: Iterable[RowKey], past: Iterable[RowKey]) -> Iterator[tuple[Cell, Cell]]:
    """The same row in every two releases, the earlier first: infants once counted stay."""
    same: dict[RowKey, list[RowKey]] = {}
    for key in (*past, *now):
        same.setdefault(key[1:], []).append(key)
    for keys in same.values():
        for before, after in combinations(keys, 2):
            yield from (((before, figure), (after, figure)) for figure in FIGURES)


def _inside(rows: Mapping[RowKey, object]) -> Iterator[tuple[Cell, Cell]]:
    for key in rows:
        for part, whole in _INSIDE:
            if key[2:] == part and (*key[:2], *whole) in rows:
                yield from (((key, figure), ((*key[:2], *whole), figure)) for figure in FIGURES)


def _alike(rows: Iterable[RowKey]) -> Iterator[tuple[Cell, Cell]]:
    """The same group in two measures: most of the infants are the same, and so are those late if one wait holds the
    other."""
    strata: dict[tuple[str, ...], list[RowKey]] = {}
    for key in rows:
        strata.setdefault((key[0], *key[2:]), []).append(key)
    for keys in strata.values():
        for one, other in combinations(keys, 2):
            yield (one, "n"), (other, "n")
            if _holds(one[1], other[1]) or _holds(other[1], one[1]):
                yield (one, "late"), (other, "late")
                yield (one, "in_time"), (other, "in_time")


def _holds(outer: str, inner: str) -> bool:
    """Whether the wait of one measure contains that of another, by the usual order of milestones."""
    known = registry()
    if outer not in known or inner not in known or {known[outer].kind, known[inner].kind} != {"interval"}:
        return False
    (first, last), (start, stop) = (
        (CLOCK.index(known[name].clock_start), CLOCK.index(str(known[name].clock_stop))) for name in (outer, inner)
    )
    return first <= start and stop <= last
