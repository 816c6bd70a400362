"""One measure's infants in one scope and window, cut into strata as they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from surveillance.measures.dimensions import MIN_PAIR_CELL, PAIRS, UNKNOWN
from surveillance.strata import Outcomes, Stratum

if TYPE_CHECKING:
    import pandas as pd

    from surveillance.estimates.estimate import Estimate
    from surveillance.measures.definitions import Measure
    from surveillance.settings import SurveillanceSettings

EVERYONE = "all"


class Finding(NamedTuple):
    """One estimate, with where it belongs."""

    scope: str
    dimension: str
    value: str
    reference: str
    adjustment: str
    estimate: Estimate


class View:
    """The infants that `surveillance.cohort.measured` gives of one scope and window, and their strata."""

    def __init__(self, infants: pd.DataFrame, measure: Measure, settings: SurveillanceSettings) -> None:
        self.infants = infants.reset_index(drop=True)
        self.measure = measure
        self.settings = settings
        self.outcomes = Outcomes.of(self.infants, curve=measure.kind == "interval")
        self._min_n = max(measure.min_n, settings.min_n)
        self.everyone = Stratum(self.outcomes, settings, self._min_n)
        self._groups: dict[str, dict[str, Stratum]] = {}

    def groups(self, dimension: str) -> dict[str, Stratum]:
        """Strata of a dimension by value, sorted; only values that occur."""
        if dimension not in self._groups:
            values = self.infants[dimension].to_numpy(dtype=object)
            names, codes = np.unique(values.astype(str), return_inverse=True)
            self._groups[dimension] = {
                str(name): self._stratum(dimension, np.flatnonzero(codes == code)) for code, name in enumerate(names)
            }
        return self._groups[dimension]

    def stratum(self, dimension: str, value: str) -> Stratum:
        """One stratum; empty where nobody has the value."""
        if value == EVERYONE:
            return self.everyone
        found = self.groups(dimension).get(value)
        return found or self._stratum(dimension, np.empty(0, dtype=np.intp))

    def unknown(self, dimension: str) -> int:
        """Matured and decided infants whose group isn't known."""
        return sum(one.counts["n_matured"] for value, one in self.groups(dimension).items() if value in UNKNOWN)

    def _stratum(self, dimension: str, where: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Stratum:
        min_n = max(self._min_n, MIN_PAIR_CELL) if dimension in PAIRS else self._min_n
        return Stratum(self.outcomes.at(where), self.settings, min_n)
