"""The tables of docs/timeline.md, made from the rules themselves.

Run `python -m fhir_mapping.reference_tables docs/timeline.md` to renew the page. A test holds the page to what this
module renders, so that no rule, flag or column goes undocumented.
"""

from __future__ import annotations

import csv
import re
import sys
from importlib import resources
from pathlib import Path

from fhir_mapping.contract import COLUMNS

_BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables() -> dict[str, str]:
    """Markdown tables by name: columns, rules, flags, attributes, rulings, roles."""
    return {
        "columns": _markdown(["column", "type", "meaning"], [[f"`{c.name}`", c.type, c.meaning] for c in COLUMNS]),
        **{name: _csv_table(name) for name in ("rules", "flags", "attributes", "rulings")},
        "roles": _roles(),
    }


def _csv_table(name: str) -> str:
    text = (resources.files("fhir_mapping") / f"{name}.csv").read_text(encoding="utf-8")
    head, *rows = csv.reader(text.splitlines())
    return _markdown(head, [[f"`{row[0]}`", *row[1:]] for row in rows])


def _roles() -> str:
    from fhir_mapping import codes

    counts: dict[str, int] = {}
    for row in codes.load().rows:
        role = re.sub(r"^(etiology|drug|payer|ga_weeks)_.*", r"\1_...", row.role)
        counts[role] = counts.get(role, 0) + 1
    text = (resources.files("fhir_mapping") / "roles.csv").read_text(encoding="utf-8")
    told = {record["role"]: record["meaning"] for record in csv.DictReader(text.splitlines())}
    return _markdown(
        ["role", "meaning", "shipped rows"],
        [[f"`{role}`", told[role], str(counts.get(role, 0))] for role in sorted(told | counts)],
    )


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def filled(page: str) -> str:
    """The page with every block `<!-- name --> ... <!-- end -->` replaced by its table."""
    found = tables()
    return _BLOCK.sub(lambda match: f"{match[1]}{found[match[2]]}{match[3]}", page)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(filled(target.read_text(encoding="utf-8")), encoding="utf-8")
