"""How far unknown groups could move a difference: bounds over who of the unknown belongs where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln


@dataclass(frozen=True)
class Allocation:
    """One way to divide the unknown: `members` of them belong to the group, of whom `late` are late."""

    difference: float
    members: int
    late: int


def _difference(
    table: tuple[int, int, int, int], unknown: int, unknown_late: int, members: int, late: int
) -> float | None:
    x, n, y, m = table
    group, reference = n + members, m + unknown - members
    if group == 0 or reference == 0:
        return None
    return (x + late) / group - (y + unknown_late - late) / reference


def difference_bounds(
    table: tuple[int, int, int, int],
    unknown: int,
    unknown_late: int,
    *,
    members: tuple[int, int] | None = None,
) -> tuple[Allocation, Allocation] | None:
    """Least and greatest risk difference when each unknown infant is of the group or of the reference.

    `table` is x late of n_group, y late of n_reference; `members` bounds how many of the unknown are of the group. None
    where no allocation leaves both groups with anyone.
    """
    low, high = members or (0, unknown)
    found = []
    for k in range(max(0, low), min(unknown, high) + 1):
        # For each k the difference is linear in the late ones: its extremes are at the ends.
        for late in (max(0, k - (unknown - unknown_late)), min(k, unknown_late)):
            difference = _difference(table, unknown, unknown_late, k, late)
            if difference is not None:
                found.append(Allocation(difference, k, late))
    if not found:
        return None
    return min(found, key=lambda a: a.difference), max(found, key=lambda a: a.difference)


def plausible_range(
    table: tuple[int, int, int, int], unknown: int, unknown_late: int, *, coverage: float = 0.95
) -> tuple[float, float] | None:
    """The same where the unknown are like the known: half to one and a half times the group's known share of them, late
    or not as chance among the unknown would have it (central `coverage` of the hypergeometric)."""
    _, n, _, m = table
    if n + m == 0:
        return None
    share = n / (n + m)
    low, high = int(unknown * share * 0.5), min(unknown, round(unknown * share * 1.5))
    tail = (1 - coverage) / 2
    found = []
    for k in range(low, high + 1):
        ends = _central_late(unknown, unknown_late, k, tail)
        found += [_difference(table, unknown, unknown_late, k, late) for late in ends]
    known = [difference for difference in found if difference is not None]
    return (min(known), max(known)) if known else None


def expected_difference(table: tuple[int, int, int, int], unknown: int, unknown_late: int) -> float | None:
    """The risk difference when the unknown, and the late ones of them, are shared out as the known infants are."""
    x, n, y, m = table
    if n == 0 or m == 0:
        return None
    share = n / (n + m)
    group, reference = n + unknown * share, m + unknown * (1 - share)
    return (x + unknown_late * share) / group - (y + unknown_late * (1 - share)) / reference


def _central_late(unknown: int, unknown_late: int, members: int, tail: float) -> tuple[int, int]:
    """Quantiles `tail` and 1 - `tail` of how many of `members` unknown infants are late: hypergeometric.

    By its probabilities, since scipy's quantile function takes a hundred times as long as this table.
    """
    least, most = max(0, members - (unknown - unknown_late)), min(members, unknown_late)
    late = np.arange(least, most + 1)
    log_weight = -(
        gammaln(late + 1)
        + gammaln(unknown_late - late + 1)
        + gammaln(members - late + 1)
        + gammaln(unknown - unknown_late - members + late + 1)
    )
    weight = np.exp(log_weight - log_weight.max())
    reached = np.cumsum(weight) / weight.sum()
    # A quantile is the first value at which the distribution reaches it, within rounding.
    low, high = np.searchsorted(reached, [tail - 1e-12, 1 - tail - 1e-12])
    return int(late[low]), int(late[min(high, len(late) - 1)])
