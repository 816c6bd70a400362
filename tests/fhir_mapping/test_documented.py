"""Nothing is undocumented: every flag, rule and attribute that the mapping gives is in docs/timeline.md."""

from __future__ import annotations

import ast
from pathlib import Path

import fhir_mapping
from fhir_mapping.contract import INTERVALS
from fhir_mapping.explain import meanings
from fhir_mapping.reference_tables import filled
from tests.fhir_mapping.case_files import run, scenes

PACKAGE = Path(fhir_mapping.__file__).parent
PAGE = PACKAGE.parent / "docs" / "timeline.md"


def test_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert filled(page) == page, "run: python -m fhir_mapping.reference_tables docs/timeline.md"


def _flags_in_code() -> set[str]:
    found: set[str] = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add":
                owner = ast.unparse(node.func.value)
                if owner.endswith("flags") and isinstance(node.args[0], ast.Constant):
                    found.add(str(node.args[0].value))
    return found


def test_flags_of_the_code_are_those_of_the_table() -> None:
    told = set(meanings("flags"))
    negative = {flag for flag in told if flag.startswith("negative_")}
    assert _flags_in_code() == told - negative
    assert negative <= {f"negative_{interval.name}" for interval in INTERVALS}


def test_cases_give_only_documented_flags_rules_and_attributes() -> None:
    flags, rules, attributes = set(meanings("flags")), set(meanings("rules")), set(meanings("attributes"))
    seen: set[str] = set()
    for scene in scenes():
        mapped = run(scene)
        seen |= {event.rule for event in mapped.events} | {link.rule for link in mapped.links}
        assert set(mapped.attributes) <= attributes
        if mapped.row is not None:
            assert set(mapped.row.flags) <= flags
            seen |= {rule for _, rule in mapped.row.evidence.values()}
    assert seen <= rules
    # Every rule is shown by a case, but for the variants of the steroid rule by the kind of resource.
    assert {rule for rule in rules if rule[-1] not in "ab"} - {"MC.1", "MC.3"} <= seen


def test_table_of_rules_has_no_gaps() -> None:
    assert all(meaning for meaning in meanings("rules").values())
    assert all(meaning for meaning in meanings("flags").values())
