"""The catalogue of rules as a page, written by `python -m expectations.pages docs/expectations.md`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import get_args

from expectations import quarantine, rules

_INTRODUCTION = """# Expectations

Made from `expectations/catalogue.csv` and `expectations/reasons.csv` by `python -m expectations.pages`; do not edit.

Before a pull is loaded, its staged rows are judged by the rules below, run by Great Expectations inside PostgreSQL.

- **critical**: the load stops and changes nothing. Only what must hold of *our own* rows is critical (a broken
  contract, a lost row); nothing that one mistyped record at a source could cause.
- **warning**: the rows are flagged with their keys (`clinical.gate_failure`), and the load goes on.
- **info**: counted, for the trend.

A rule that can't be run is an *error*, told apart from rows that fail, and stops the load too. The *share* is what part
of the judged rows may fail, taken of at least {fewest} rows. A site sets shares of its own, each with its reason, in a
CSV of the columns `{overrides}`, which the setting `thresholds` of `[expectations]` names.
Kinds are those of Kahn et al. 2016 (doi 10.13063/2327-9214.1244).
Results are rows of `ops.gate_result`: counts, no values and no keys.

To add a rule, add a row to the catalogue and a violating row to `tests/expectations/violations.json`: the tests show
that the rule catches it and that no other rule does. `sql` is true for a row `t` that fails, `among` for those judged.
"""
_LAYERS = {
    "staged": "Staged resources, their ledger and quarantine: judged after selection",
    "timeline": "Milestones and timelines: judged after mapping",
    "metrics": "Results of a weekly run: judged before they are published",
    "freshness": "Each source's loaded pulls, as of an instant: judged before a weekly run",
}


def catalogue_page() -> str:
    """docs/expectations.md as Markdown."""
    catalogue = rules.load()
    parts = [
        _INTRODUCTION.format(fewest=rules.FEWEST_JUDGED, overrides=",".join(rules.OVERRIDE_COLUMNS)),
        _counts(catalogue),
    ]
    for layer in get_args(rules.Layer):
        parts.append(f"## {layer.capitalize()}\n\n{_LAYERS[layer]}.\n")
        parts += [_table(table, list(found)) for table, found in groupby(catalogue.of(layer), lambda rule: rule.table)]
    parts.append("## Reasons for quarantine\n\n" + _reasons())
    return "\n".join(parts)


def _counts(catalogue: rules.Catalogue) -> str:
    lines = ["| layer | critical | warning | info |", "| --- | ---: | ---: | ---: |"]
    for layer in get_args(rules.Layer):
        severities = [rule.severity for rule in catalogue.of(layer)]
        counts = " | ".join(str(severities.count(severity)) for severity in get_args(rules.Severity))
        lines.append(f"| {layer} | {counts} |")
    return "\n".join(lines) + "\n"


def _table(table: str, found: list[rules.Rule]) -> str:
    relation = "the pull as a whole" if table == "pull" else f"`{rules.TABLES[table].relation}`"
    lines = [
        f"### {table}: {relation}\n",
        "| id | severity | kind | what must hold | share | why | owner |",
        "| --- | --- | --- | --- | ---: | --- | --- |",
    ]
    for rule in found:
        share = f"{rule.threshold:g}" if rule.threshold else ""
        cells = (rule.id, rule.severity, f"{rule.dimension}, {rule.aspect}", rule.title, share, rule.why, rule.owner)
        lines.append(" | ".join(("", *(cell.replace("|", r"\|") for cell in cells), "")).strip())
    return "\n".join(lines) + "\n"


def _reasons() -> str:
    lines = ["| reason | meaning | what to do next | may pass on replay |", "| --- | --- | --- | --- |"]
    lines += [
        f"| `{one.reason}` | {one.meaning} | {one.next_step} | {'yes' if one.replay else 'no'} |"
        for one in quarantine.reasons().values()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(catalogue_page(), encoding="utf-8")
