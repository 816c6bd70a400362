"""SQL that shows a rule one pull only. All text that reaches PostgreSQL from here is checked, then quoted."""

from __future__ import annotations

import re
from dataclasses import dataclass

from expectations.errors import CatalogueInvalid
from expectations.rules import TABLES, Rule, Table

# Neither a quote, a backslash, a brace, a colon nor a percent sign gets through: what is left needs no escaping by
# PostgreSQL, str.format (Great Expectations) or SQLAlchemy's text().
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Scope:
    """The pull that is judged."""

    source: str
    pull_id: str

    def __post_init__(self) -> None:
        for name, value in (("source", self.source), ("pull id", self.pull_id)):
            if _SAFE_NAME.fullmatch(value) is None:
                raise CatalogueInvalid(f"A {name} has letters, digits, dots, dashes and underscores only")

    def rows(self, table: Table) -> str:
        """A query of the table's rows of this pull."""
        conditions = [
            f"{column} = '{value}'"
            for column, value in ((table.source, self.source), (table.pull, self.pull_id))
            if column is not None
        ]
        return f"select * from {table.relation} where {' and '.join(conditions)}"  # noqa: S608 - checked above

    def judged(self, rule: Rule, batch: str) -> str:
        """The query of how many rows the rule judges. `batch` is what the pull's rows of its table are read from."""
        return f"{self._with(rule, batch)} {_count_judged(rule)}"

    def failing(self, rule: Rule, batch: str) -> str:
        """The query of the failing rows' keys."""
        return f"{self._with(rule, batch)} {_failing_keys(rule)}"

    def over_threshold(self, rule: Rule, batch: str) -> str:
        """The same keys, but none as long as they are at most the threshold's share of the judged rows."""
        if rule.threshold == 0:
            return self.failing(rule, batch)
        return (
            f"{self._with(rule, batch)}, failing as ({_failing_keys(rule)}), judged(n) as ({_count_judged(rule)}) "  # noqa: S608
            f"select * from failing where (select count(*) from failing) > {rule.threshold} * (select n from judged)"
        )

    def _with(self, rule: Rule, batch: str) -> str:
        others = [f"{name} as ({self.rows(TABLES[name])})" for name in rule.looks_into]
        return f"with {', '.join([*others, f't as (select * from {batch})'])}"  # noqa: S608


def _failing_keys(rule: Rule) -> str:
    keys = ", ".join(f"t.{column}" for column in rule.key)
    return f"select {keys} from t where {rule.failing}"  # noqa: S608


def _count_judged(rule: Rule) -> str:
    return f"select count(*) from t where {rule.among or 'true'}"  # noqa: S608
