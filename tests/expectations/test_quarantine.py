"""Every reason that the mapping can give is in the table of reasons."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import fhir_mapping
from expectations import quarantine

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where the reason stands in the calls that give one.
_POSITION = {"Quarantined": 4, "Fault": 0}


def given_reasons() -> Iterator[tuple[str, ast.expr]]:
    """Each expression that fhir_mapping gives as a reason, with where it stands."""
    for path in sorted(Path(fhir_mapping.__file__).parent.glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in _POSITION:
                continue
            named = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            yield f"{path.name}:{node.lineno}", (named or [node.args[_POSITION[node.func.id]]])[0]


def test_every_reason_that_the_mapping_gives_is_documented() -> None:
    codes = []
    for where, expression in given_reasons():
        # A reason is written out where it arises, or handed on from a Fault.
        if isinstance(expression, ast.Attribute) and expression.attr == "reason":
            continue
        assert isinstance(expression, ast.Constant), f"{where}: a reason must be written out"
        codes.append(expression.value)
    assert codes
    assert set(codes) <= set(quarantine.reasons())


def test_no_reason_is_documented_that_nothing_gives() -> None:
    given = {expression.value for _, expression in given_reasons() if isinstance(expression, ast.Constant)}
    assert set(quarantine.reasons()) <= given


def test_each_reason_says_what_it_means_and_what_to_do() -> None:
    for reason in quarantine.reasons().values():
        assert reason.meaning
        assert reason.next_step
    assert quarantine.explain("unreadable_element").replay
    assert not quarantine.explain("not_json").replay


def test_a_reason_of_an_older_release_is_still_shown() -> None:
    assert quarantine.explain("long_gone").meaning == "No longer in the table of reasons"
