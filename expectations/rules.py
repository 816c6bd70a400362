"""The catalogue of rules: loaded from `catalogue.csv`, checked, and turned into SQL.

A rule is one row. `sql` is a predicate that is true for a row that *fails*; `among` is a predicate for the rows that
the rule judges (empty: all of them). Both speak of the row as `t`, and may look into the other tables of the same pull
by the names of `TABLES` (`select infant from event`). They never name a source or a pull: the gate shows them one only.
`<<name>>` stands for the values of one of `VOCABULARIES`, which are those of the code and never copied.
`threshold` is the share of judged rows that may fail before the rule does, taken of at least `FEWEST_JUDGED` rows.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Literal, get_args

import sqlalchemy

from expectations.errors import CatalogueInvalid
from expectations.quarantine import reasons
from fhir_mapping.contract import CohortClass, Delayed, Pathway, Status
from fhir_mapping.model import Milestone, Precision
from fhir_source.source import IN_SCOPE_TYPES, PATIENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Layer = Literal["staged", "timeline", "metrics", "freshness"]
Severity = Literal["critical", "warning", "info"]
#: The three kinds of data quality of Kahn et al. 2016 (doi 10.13063/2327-9214.1244), as OHDSI's dashboard uses them.
Dimension = Literal["conformance", "completeness", "plausibility"]

CATALOGUE_COLUMNS = (
    "id",
    "title",
    "layer",
    "severity",
    "dimension",
    "aspect",
    "table",
    "key",
    "among",
    "sql",
    "threshold",
    "why",
    "owner",
)
OVERRIDE_COLUMNS = ("source", "rule", "threshold", "why", "owner")
#: Kahn's subcategories by dimension.
ASPECTS: Mapping[str, tuple[str, ...]] = {
    "conformance": ("value", "relational", "computational"),
    "completeness": ("presence",),
    "plausibility": ("uniqueness", "atemporal", "temporal"),
}


@dataclass(frozen=True)
class Table:
    """A relation that rules may judge or look into, and the columns that scope it to a pull (or run) and its source."""

    relation: str
    source: str | None = "source"
    pull: str | None = "pull_id"


#: Names that a rule may use. Most stand for the rows of one pull; `pull` is one row: source, pull_id, and the day (UTC)
#: that its id names. `held` is what the warehouse has of the source from earlier pulls; `loaded`, `loaded_ledger`,
#: `watermark` and `gated` are what it recorded of all of them. `metric` is one run of the measures.
TABLES: Mapping[str, Table] = {
    "pull": Table("pull"),
    "staged_pull": Table("ops.stg_pull"),
    "ledger": Table("ops.stg_ledger"),
    "resource": Table("clinical.stg_resource"),
    "unchanged": Table("clinical.stg_unchanged"),
    "conformance": Table("clinical.stg_conformance"),
    "quarantine": Table("clinical.stg_quarantine"),
    "infant": Table("clinical.stg_infant"),
    "event": Table("clinical.stg_event"),
    "timeline": Table("clinical.stg_timeline"),
    "held": Table("clinical.resource", pull=None),
    "loaded": Table("ops.pull", pull=None),
    "loaded_ledger": Table("ops.ledger", pull=None),
    "watermark": Table("ops.watermark", pull=None),
    "gated": Table("ops.gate_result", pull=None),
    "metric": Table("analytics.metric_result", source=None, pull="run_id"),
}
#: Lists of values that predicates name as `<<name>>`.
VOCABULARIES: Mapping[str, tuple[str, ...]] = {
    "in_scope_types": IN_SCOPE_TYPES,
    "patient_types": PATIENT_TYPES,
    "milestones": get_args(Milestone),
    "precisions": get_args(Precision),
    "cohorts": get_args(CohortClass),
    "pathways": get_args(Pathway),
    "statuses": get_args(Status),
    "delays": get_args(Delayed),
    "reasons": tuple(reasons()),
}
#: A threshold's share is taken of at least this many rows, so that one infant of a small pull is no percentage.
FEWEST_JUDGED = 20


@dataclass(frozen=True)
class Rule:
    """One row of the catalogue."""

    id: str
    title: str
    layer: Layer
    severity: Severity
    dimension: Dimension
    aspect: str
    table: str
    key: tuple[str, ...]
    among: str
    sql: str
    threshold: float
    why: str
    owner: str

    @property
    def failing(self) -> str:
        """Predicate of the rows that are judged and fail."""
        return f"({self.among or 'true'}) and ({self.sql})"

    @property
    def looks_into(self) -> tuple[str, ...]:
        """Names of the tables that the rule's predicates read besides the row itself."""
        return tuple(name for name in TABLES if re.search(rf"\bfrom {name}\b", f"{self.among} {self.sql}"))


@dataclass(frozen=True)
class Catalogue:
    """All rules, and the version (a hash of what they say) that results are recorded under."""

    rules: tuple[Rule, ...]
    version: str

    def of(self, layer: Layer) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.layer == layer)

    def __getitem__(self, rule_id: str) -> Rule:
        return next(rule for rule in self.rules if rule.id == rule_id)


def load(overrides: Path | None = None, *, source: str | None = None) -> Catalogue:
    """The catalogue of this package, with the thresholds that `overrides` sets for `source`.

    Raises CatalogueInvalid, naming the rule and what is wrong with it.
    """
    text = resources.files("expectations").joinpath("catalogue.csv").read_text(encoding="utf-8")
    rules = [_rule(row) for row in _rows(text, CATALOGUE_COLUMNS, "catalogue.csv")]
    _check_unique(rule.id for rule in rules)
    if overrides is not None and source is not None:
        rules = _overridden(rules, overrides, source)
    digest = hashlib.sha256(repr(rules).encode()).hexdigest()[:12]
    return Catalogue(tuple(rules), digest)


def _rows(text: str, columns: tuple[str, ...], name: str) -> list[dict[str, str]]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    if tuple(reader.fieldnames or ()) != columns:
        raise CatalogueInvalid(f"{name} must have the columns {', '.join(columns)}", file=name)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise CatalogueInvalid(f"{name} is not a readable CSV file, line {reader.line_num}", file=name) from error
    for row in rows:
        if None in row or None in row.values():
            raise CatalogueInvalid(f"{name} has a row with a wrong number of columns: {row[columns[0]]}", file=name)
    return rows


def _rule(row: Mapping[str, str]) -> Rule:
    for column in CATALOGUE_COLUMNS:
        _check(bool(row[column].strip()) or column == "among", row, f"{column} is empty")
    _check(re.fullmatch(r"[A-Z]{3}-\d{3}", row["id"]) is not None, row, "an id looks like TIM-001")
    _check(row["layer"] in get_args(Layer), row, f"no such layer: {row['layer']}")
    _check(row["severity"] in get_args(Severity), row, f"no such severity: {row['severity']}")
    _check(row["aspect"] in ASPECTS.get(row["dimension"], ()), row, "dimension and aspect are not Kahn's")
    _check(row["table"] in TABLES, row, f"no such table: {row['table']}")
    key = tuple(row["key"].split(";"))
    _check(all(re.fullmatch(r"[a-z_0-9]+", column) for column in key), row, "key is column names with ; between")
    among, sql = (_with_values(row, row[column]) for column in ("among", "sql"))
    _check_sql(row, among, sql)
    return Rule(
        id=row["id"],
        title=row["title"],
        layer=row["layer"],  # type: ignore[arg-type] # checked above
        severity=row["severity"],  # type: ignore[arg-type]
        dimension=row["dimension"],  # type: ignore[arg-type]
        aspect=row["aspect"],
        table=row["table"],
        key=key,
        among=among,
        sql=sql,
        threshold=_threshold(row),
        why=row["why"],
        owner=row["owner"],
    )


def _with_values(row: Mapping[str, str], text: str) -> str:
    def listed(match: re.Match[str]) -> str:
        _check(match[1] in VOCABULARIES, row, f"no such vocabulary: {match[1]}")
        values = VOCABULARIES[match[1]]
        _check(all(re.fullmatch(r"\w+", value) for value in values), row, f"{match[1]} holds more than plain words")
        return ", ".join(f"'{value}'" for value in values)

    return re.sub(r"<<(\w+)>>", listed, text)


def _check_sql(row: Mapping[str, str], *texts: str) -> None:
    for text in texts:
        bare = re.sub(r"'(?:[^']|'')*'", "''", text)
        _check(not re.search(r";|--|/\*", bare), row, "one predicate, no comment")
        # Great Expectations aliases {batch} by itself unless it sees the word JOIN.
        _check(re.search(r"\bjoin\b", bare, re.IGNORECASE) is None, row, "use in (select ...) instead of join")
        _check(not sqlalchemy.text(text).compile().params, row, "a colon before a word reads as a bind parameter")
        _check(bare.count("(") == bare.count(")"), row, "parentheses do not match")


def _threshold(row: Mapping[str, str]) -> float:
    try:
        value = float(row["threshold"])
    except ValueError:
        value = -1.0
    _check(0 <= value < 1, row, "threshold is a share from 0 to below 1")
    return value


def _check(holds: bool, row: Mapping[str, str], what: str) -> None:
    if not holds:
        rule = row.get("id") or row.get("rule") or "without id"
        raise CatalogueInvalid(f"Rule {rule}: {what}", next_step="correct the table of rules")


def _check_unique(ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for rule_id in ids:
        _check(rule_id not in seen, {"id": rule_id}, "the id is used twice")
        seen.add(rule_id)


def _overridden(rules: list[Rule], path: Path, source: str) -> list[Rule]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueInvalid("The table of overrides can't be read", file=path.name) from error
    rows = _rows(text, OVERRIDE_COLUMNS, path.name)
    known = {rule.id for rule in rules}
    for row in rows:
        _check(row["rule"] in known, row, "overridden, but not in the catalogue")
        _check(bool(row["why"].strip() and row["owner"].strip()), row, "an override needs a why and an owner")
    thresholds = {(row["source"], row["rule"]): _threshold(row) for row in rows}
    return [replace(rule, threshold=thresholds.get((source, rule.id), rule.threshold)) for rule in rules]
