"""SQL that shows a rule one pull only. All text that reaches PostgreSQL from here is checked, then quoted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from expectations.errors import CatalogueInvalid
from expectations.rules import FEWEST_JUDGED, TABLES, Rule

# Neither a quote, a backslash, a brace, a colon nor a percent sign gets through: what is left needs no escaping by
# PostgreSQL, str.format (Great Expectations) or SQLAlchemy's text().
_DATED = re.compile(r"(?P<pull>[0-9]{8})T[0-9]{6}Z|[a-z0-9-]{0,40}(?P<run>[0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Scope:
    """The pull that is judged. Raises CatalogueInvalid for a name that could leave its quotes, or is no instant."""

    source: str
    pull_id: str

    def __post_init__(self) -> None:
        if _SAFE_NAME.fullmatch(self.source) is None:
            raise CatalogueInvalid("A source's name has letters, digits, dots, dashes and underscores only")
        if _day(self.pull_id) is None:
            raise CatalogueInvalid(
                "A pull id is an instant such as 20261123T070000Z, and a run id ends in its day", source=self.source
            )

    def rows(self, name: str) -> str:
        """A query of the rows of this pull in the table that rules know by `name`."""
        if name == "pull":
            day = _day(self.pull_id)
            return f"select text '{self.source}' as source, text '{self.pull_id}' as pull_id, date '{day}' as day"
        table = TABLES[name]
        scoped = ((table.source, self.source), (table.pull, self.pull_id))
        conditions = " and ".join(f"{column} = '{value}'" for column, value in scoped if column is not None)
        return f"select * from {table.relation} where {conditions}"  # noqa: S608 - names are checked above

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
        parts = f"failing as ({_failing_keys(rule)}), judged(n) as ({_count_judged(rule)})"
        tolerated = f"{rule.threshold} * (select greatest(n, {FEWEST_JUDGED}) from judged)"  # noqa: S608
        return (
            f"{self._with(rule, batch)}, {parts} "  # noqa: S608
            f"select * from failing where (select count(*) from failing) > {tolerated}"
        )

    def _with(self, rule: Rule, batch: str) -> str:
        # Not materialized: bodies of resources are not copied, and filters reach the indexes.
        others = [f"{name} as not materialized ({self.rows(name)})" for name in rule.looks_into]
        return f"with {', '.join([*others, f't as not materialized (select * from {batch})'])}"  # noqa: S608


def _day(name: str) -> date | None:
    """The UTC day that a pull id (20261123T070000Z) starts with, or a run id (weekly-2026-11-23) ends in; else None."""
    match = _DATED.fullmatch(name)
    if match is None:
        return None
    try:
        return date.fromisoformat(match["pull"] or match["run"])
    except ValueError:
        return None


def _failing_keys(rule: Rule) -> str:
    keys = ", ".join(f"t.{column}" for column in rule.key)
    return f"select {keys} from t where {rule.failing}"  # noqa: S608


def _count_judged(rule: Rule) -> str:
    return f"select count(*) from t where {rule.among or 'true'}"  # noqa: S608
