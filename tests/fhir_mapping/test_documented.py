"""Nothing is undocumented: every flag, rule and attribute that the mapping gives is in docs/timeline.md."""

from __future__ import annotations

import ast
import csv
import json
from collections import defaultdict
from pathlib import Path

import fhir_mapping
from fhir_mapping import codes
from fhir_mapping.contract import INTERVALS
from fhir_mapping.explain import meanings
from fhir_mapping.reference_tables import filled
from tests.fhir_mapping.case_files import case_paths, run, scenes

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
    seen: dict[str, set[str]] = defaultdict(set)  # rules by case
    shown = set()
    for scene in scenes():
        mapped = run(scene)
        given = {event.rule for event in mapped.events} | {link.rule for link in mapped.links}
        assert set(mapped.attributes) <= attributes
        shown |= set(mapped.attributes)
        if mapped.row is not None:
            assert set(mapped.row.flags) <= flags
            shown |= set(mapped.row.flags)
            given |= {rule for _, rule in mapped.row.evidence.values()}
            if mapped.row.censored_on == scene.settings.as_of:
                given.add("MC.1")  # no resource says what the as-of date is
        seen[scene.case] |= given
    assert set().union(*seen.values()) <= rules
    assert {rule: case for rule, case in shown_by("rules").items() if rule not in seen[case]} == {}
    # An implausible year is before birth or after the horizon too; without those two there is no row.
    assert (flags | attributes) - shown == {"date_implausible"}


def shown_by(table: str) -> dict[str, str]:
    """The case that a table names for each of its entries."""
    with (PACKAGE / f"{table}.csv").open(encoding="utf-8", newline="") as lines:
        return {next(iter(record.values())): record["case"] for record in csv.DictReader(lines)}


def test_each_ruling_names_the_case_that_shows_it() -> None:
    told = {path.stem: json.loads(path.read_text(encoding="utf-8"))["rulings"] for path in case_paths()}
    rulings = shown_by("rulings")
    assert {ruling: case for ruling, case in rulings.items() if ruling not in told.get(case, ())} == {}
    assert {ruling for listed in told.values() for ruling in listed} == set(rulings)
    numbered = {f"ruling {number}" for number in range(1, 21)} | {f"G{number}" for number in range(1, 51)}
    assert numbered - {"G40", "G41"} <= set(rulings)  # those two: suppression and estimates


def test_table_of_rules_has_no_gaps() -> None:
    assert all(meaning for meaning in meanings("rules").values())
    assert all(meaning for meaning in meanings("flags").values())


def test_every_role_is_explained_and_read() -> None:
    told = set(meanings("roles"))
    families = tuple(role.removesuffix("...") for role in told if role.endswith("..."))
    shipped = {row.role for row in codes.load().rows}
    assert {role for role in shipped if not role.startswith(families)} <= told
    code = " ".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    read_by_prefix = ("race_", "interpreter_", "ethnicity_", "null_", "concern_")
    assert [
        role for role in told if not role.endswith("...") and role not in code and not role.startswith(read_by_prefix)
    ] == []


def test_the_page_s_example_of_a_site_s_codes_is_one(tmp_path: Path) -> None:
    block = PAGE.read_text(encoding="utf-8").split("```csv\n")[1].split("```")[0]
    local = tmp_path / "our-codes.csv"
    local.write_text(block, encoding="utf-8")
    own = codes.load(local)
    assert own.roles("https://ehr.hospital.example/orders", "NEU-77") == {"referral_neurology"}
    assert own.roles("https://ehr.hospital.example/problems", "JERK-2") == {"concern_a"}
    assert own.roles("http://hl7.org/fhir/sid/icd-10-cm", "R55") == frozenset()
