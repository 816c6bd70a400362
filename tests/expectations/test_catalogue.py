"""Every rule catches its own violation, and no other rule does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pytest

from expectations import gate, rules
from expectations.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

CATALOGUE = rules.load()
PULL = "20261123T070000Z"
TABLES_OF = {
    layer: {name for rule in CATALOGUE.of(layer) for name in (rule.table, *rule.looks_into)}
    for layer in get_args(rules.Layer)
}
VIOLATIONS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "violations.json").read_text(encoding="utf-8")
)


def failing(connection: Connection, layer: rules.Layer, source: str, run_id: str) -> dict[str, int]:
    """Rules of the layer that fail, with the number of rows, by the same queries that Great Expectations is given."""
    scope = Scope(source, run_id if layer == "metrics" else PULL)
    counts = [
        f"select '{rule.id}', count(*) from ({scope.over_threshold(rule, f'({scope.rows(rule.table)}) as pull')}) as q"
        for rule in CATALOGUE.of(layer)
    ]
    # One query for all rules: a query each would take most of the time of this module.
    found = connection.exec_driver_sql(" union all ".join(counts), execution_options={"no_parameters": True})
    return {rule_id: count for rule_id, count in found if count}


def test_each_rule_has_a_violation() -> None:
    assert list(VIOLATIONS) == [rule.id for rule in CATALOGUE.rules]


@pytest.mark.integration
@pytest.mark.parametrize("rule_id", [rule.id for rule in CATALOGUE.rules])
def test_a_violation_is_caught_by_its_rule_and_by_no_other(
    staging: Engine, stage: Callable[..., None], rule_id: str
) -> None:
    rule, violation = CATALOGUE[rule_id], VIOLATIONS[rule_id]
    source, run_id = f"v-{rule_id.lower()}", f"{rule_id.lower()}-2026-11-23"
    if rule.threshold:
        # As many copies of the violating row as it takes to pass the share that is tolerated.
        violation = {"copies": int(rule.threshold * rules.FEWEST_JUDGED / (1 - rule.threshold)) + 2} | violation
    stage(staging, source, run_id, violation=violation, only=TABLES_OF[rule.layer])
    with staging.connect() as connection:
        assert set(failing(connection, rule.layer, source, run_id)) == {rule_id}


@pytest.mark.integration
@pytest.mark.parametrize("layer", get_args(rules.Layer))
def test_the_clean_pull_passes_every_rule_and_is_judged(
    staging: Engine, stage: Callable[..., None], layer: rules.Layer
) -> None:
    source, run_id = f"clean-{layer}", f"clean-{layer}-2026-11-23"
    stage(staging, source, run_id)
    url = staging.url.render_as_string(hide_password=False)
    report = gate.run(url, layer, source=source, pull_id=run_id if layer == "metrics" else PULL)
    assert [(result.rule_id, result.status, result.error) for result in report.results if result.status != "pass"] == []
    # A rule that judges nothing of a pull with all its types would pass whatever came.
    unjudged = {result.rule_id for result in report.results if not result.judged_rows}
    assert unjudged <= {
        "LED-004",
        "TIM-041",
        "TIM-042",
        "TIM-074",
        *(rule.id for rule in CATALOGUE.rules if "DIS" in rule.id),
    }
