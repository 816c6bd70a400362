"""A wrong catalogue is refused, by the name of the rule and what is wrong with it."""

from __future__ import annotations

import csv
import io
from importlib import resources
from typing import TYPE_CHECKING, get_args

import pytest

from expectations import rules
from expectations.errors import CatalogueInvalid
from fhir_mapping.contract import CohortClass

if TYPE_CHECKING:
    from pathlib import Path

ROW = {
    "id": "ABC-001",
    "title": "Something holds",
    "layer": "timeline",
    "severity": "critical",
    "dimension": "conformance",
    "aspect": "value",
    "table": "timeline",
    "key": "infant",
    "among": "",
    "sql": "t.sex = 'x'",
    "threshold": "0",
    "why": "Because",
    "owner": "biostatistics",
}


@pytest.fixture
def catalogue_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    """Puts rows in the place of the package's catalogue."""

    def put(*rows: dict[str, str]) -> rules.Catalogue:
        text = io.StringIO()
        writer = csv.DictWriter(text, rules.CATALOGUE_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
        (tmp_path / "catalogue.csv").write_text(text.getvalue(), encoding="utf-8")
        monkeypatch.setattr(resources, "files", lambda _: tmp_path)
        return rules.load()

    return put


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": "abc"}, "an id looks like"),
        ({"layer": "attic"}, "no such layer"),
        ({"severity": "fatal"}, "no such severity"),
        ({"aspect": "temporal"}, "not Kahn's"),
        ({"table": "attic"}, "no such table"),
        ({"key": "infant; drop"}, "key is column names"),
        ({"sql": ""}, "sql is empty"),
        ({"why": " "}, "why is empty"),
        ({"threshold": "1"}, "threshold is a share"),
        ({"threshold": "some"}, "threshold is a share"),
        ({"sql": "true; drop table x"}, "one predicate"),
        ({"sql": "true -- yes"}, "one predicate"),
        ({"sql": "t.sex in (select sex from timeline join event on true)"}, "instead of join"),
        ({"sql": "t.sex = :sex"}, "bind parameter"),
        ({"sql": "(t.sex = 'x'"}, "parentheses"),
        ({"sql": "t.sex in (<<sexes>>)"}, "no such vocabulary"),
    ],
)
def test_a_wrong_rule_is_refused(catalogue_of, change: dict[str, str], says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CatalogueInvalid, match=says) as caught:
        catalogue_of(ROW | change)
    assert (ROW | change)["id"] in str(caught.value)


def test_an_id_used_twice_is_refused(catalogue_of) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CatalogueInvalid, match="ABC-001: the id is used twice"):
        catalogue_of(ROW, ROW)


def test_what_stands_in_quotes_is_not_taken_for_sql(catalogue_of) -> None:  # type: ignore[no-untyped-def]
    (rule,) = catalogue_of(ROW | {"sql": "t.sex ~ 'a;b--(c' and t.sex <> 'join'"}).rules
    assert rule.failing == "(true) and (t.sex ~ 'a;b--(c' and t.sex <> 'join')"


def test_vocabularies_are_those_of_the_code() -> None:
    sql = rules.load()["TIM-002"].sql
    assert sql.split("'")[1::2] == list(get_args(CohortClass))
    assert not [rule.id for rule in rules.load().rules if "<<" in rule.failing]


def test_the_version_changes_with_what_the_rules_say(catalogue_of) -> None:  # type: ignore[no-untyped-def]
    versions = {catalogue_of(ROW | change).version for change in ({}, {"threshold": "0.1"}, {"sql": "t.sex = 'y'"})}
    assert len(versions) == 3


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a,XYZ-999,0.1,why,who", "not in the catalogue"),
        ("a,TIM-054,2,why,who", "threshold is a share"),
        ("a,TIM-054,0.1,,who", "needs a why"),
        ("a,TIM-054", "wrong number of columns"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path: Path, line: str, says: str) -> None:
    table = tmp_path / "overrides.csv"
    table.write_text(f"{','.join(rules.OVERRIDE_COLUMNS)}\n{line}\n", encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match=says):
        rules.load(table, source="b")


def test_overrides_that_are_not_there_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="can't be read"):
        rules.load(tmp_path / "nowhere.csv", source="a")
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(CatalogueInvalid, match="must have the columns"):
        rules.load(tmp_path / "odd.csv", source="a")
