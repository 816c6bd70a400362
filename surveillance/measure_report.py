"""FHIR R4 `MeasureReport` of a release: one a measure, with a stratifier for each dimension.

Made from `published.metric_result` alone, and tells no more than the release does. A count or score that isn't shown is
an element without a value, with a data-absent-reason: `masked` where it is suppressed, `unknown` where it is missing,
`not-applicable` where it can't be estimated.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from surveillance.measures.registry import DIMENSIONS
from surveillance.measures.registry import measures as registry
from surveillance.results import EVERYONE

if TYPE_CHECKING:
    import pandas as pd

#: Canonical names of the measures; the version follows after a bar.
CANONICAL = "urn:iess-referral-watch:measure:"
_POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_REASONS = {"suppressed": "masked", "missing": "unknown", "not_estimable": "not-applicable"}
_LOWER_IS_BETTER = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/measure-improvement-notation", "code": "decrease"}]
}

Record = Mapping[Hashable, Any]


def bundle(published: pd.DataFrame) -> str:
    """The reports of one release as a Bundle (collection), JSON. The same rows give the same text.

    `published` are rows of `published.metric_result` of one run. Each report is validated by the FHIR R4B models.
    """
    from fhir.resources.R4B.bundle import Bundle

    rows = published[published["estimand"] == "prop"]
    entries = [
        {"fullUrl": f"{CANONICAL}{metric_id}:{report['date']}", "resource": report}
        for metric_id, mine in rows.groupby("metric_id", sort=True)
        for report in [_report(mine.to_dict("records"))]
    ]
    content = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    Bundle.model_validate(content)
    return json.dumps(content, indent=1) + "\n"


def _report(rows: list[dict[Hashable, Any]]) -> dict[str, Any]:
    whole = next(row for row in rows if row["stratum_dimension"] == EVERYONE)
    measure = registry().get(whole["metric_id"])
    as_of = whole["as_of"].isoformat()
    strata = [(name, [row for row in rows if row["stratum_dimension"] == name]) for name in DIMENSIONS]
    return {
        "resourceType": "MeasureReport",
        "status": "complete",
        "type": "summary",
        "measure": f"{CANONICAL}{whole['metric_id']}|{whole['definition_version']}",
        "date": as_of,
        # The registry's measures begin with the first data, which isn't a day of its own.
        "period": {"end": as_of},
        "improvementNotation": _LOWER_IS_BETTER,
        "group": [
            {
                "code": {"text": measure.title if measure else whole["metric_id"]},
                **_figures(whole),
                "stratifier": [
                    {"code": [{"text": name}], "stratum": [_stratum(row) for row in members]}
                    for name, members in strata
                    if members
                ],
            }
        ],
    }


def _stratum(row: Record) -> dict[str, Any]:
    return {"value": {"text": row["stratum_value"]}, **_figures(row)}


def _figures(row: Record) -> dict[str, Any]:
    """Denominator, numerator (the adverse outcome) and their share."""
    score = (
        {"value": round(float(row["estimate"]), 4), "system": "http://unitsofmeasure.org", "code": "1"}
        if row["estimate_state"] == "shown"
        else {"extension": [_absent(row["estimate_state"])]}
    )
    return {
        "population": [_population("denominator", row, "n_matured"), _population("numerator", row, "n_late")],
        "measureScore": score,
    }


def _population(code: str, row: Record, count: str) -> dict[str, Any]:
    state = row[f"{count}_state"]
    coded = {"code": {"coding": [{"system": _POPULATION, "code": code}]}}
    if state == "shown":
        return {**coded, "count": int(row[count])}
    return {**coded, "_count": {"extension": [_absent(state)]}}


def _absent(state: str) -> dict[str, str]:
    return {"url": _ABSENT, "valueCode": _REASONS[state]}
