"""How a site writes FHIR: all that US Core asks for, or as little as FHIR lets pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synthetic.chart import Fhir

#: Elements that a bare record does without, by type. No milestone is lost by it: another element has the date.
_LEFT_OUT = {
    "Condition": ("category",),
    "Encounter": ("serviceProvider",),
    "ServiceRequest": ("category",),
    "Coverage": ("relationship", "subscriberId"),
}


def bare(resource: Fhir) -> Fhir:
    """No meta, so no version, no lastUpdated and no profile; no category; no recordedDate where there is another date.

    As Synthea and its port write it (notes on servers and data, "Data").
    """
    left_out = ("meta", *_LEFT_OUT.get(resource["resourceType"], ()))
    kept = {name: value for name, value in resource.items() if name not in left_out}
    if "recordedDate" in kept and "encounter" in kept:
        del kept["recordedDate"]
    return kept
