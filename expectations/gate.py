"""The gate: runs one layer's rules over one staged pull, by Great Expectations, inside PostgreSQL.

Rows never leave the database; keys of failing rows do, into the report and nowhere else. The gate reads committed rows
on connections of its own, in autocommit and read-only, so that it holds no lock that a load could wait for.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from expectations import rules as catalogue
from expectations.errors import GateBroken, GateUnreachable
from expectations.report import GateReport, RuleResult, Status
from expectations.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from expectations.rules import Layer, Rule

# A rule that waits or runs for minutes is broken, and must not hold the pipeline up for ever. Nested loops are off: of
# rows just staged the planner has no statistics and expects one, and two rules took 3 s each over 3,000 rows, squared.
_SESSION = (
    "-c default_transaction_read_only=on -c lock_timeout=60s -c statement_timeout=300s "
    "-c enable_nestloop=off -c jit=off -c work_mem=64MB -c TimeZone=UTC"
)
_ENGINE_OPTIONS: Mapping[str, object] = {
    "isolation_level": "AUTOCOMMIT",
    "connect_args": {"options": _SESSION, "application_name": "iess-gate"},
}


def run(
    database_url: str,
    layer: Layer,
    *,
    source: str,
    pull_id: str,
    overrides: Path | None = None,
) -> GateReport:
    """Judges the staged rows of one pull by the rules of `layer`.

    `overrides` is a site's table of thresholds (`expectations.rules.OVERRIDE_COLUMNS`). A rule that can't be run has
    the status `error`, and blocks. Raises CatalogueInvalid for a wrong catalogue or name, GateUnreachable when the
    database isn't there.
    """
    scope = Scope(source, pull_id)
    known = catalogue.load(overrides, source=source)
    outcome = _judge(database_url, known.of(layer), scope)
    # Errors are raised here, outside any handler, so that no server text hangs on them as their context.
    if outcome == "unreachable":
        raise GateUnreachable(
            "The database is not reachable",
            source=source,
            kept="the pull is as it was",
            next_step="start the database, then run the step again",
        )
    if isinstance(outcome, str):
        raise GateBroken(f"The gate could not run: {outcome}", source=source, kept="the pull is as it was")
    return GateReport(source, pull_id, layer, known.version, tuple(outcome))


def _judge(database_url: str, rules: Sequence[Rule], scope: Scope) -> list[RuleResult] | str:
    """A result for each rule; or, when there is none, `unreachable` or the code of what went wrong."""
    engine = sqlalchemy.create_engine(database_url, **_ENGINE_OPTIONS)
    try:
        with engine.connect() as connection:
            # Great Expectations repeats the whole suite three times for each query that raises: it is given those that
            # the database understands.
            refused = {rule.id: code for rule in rules if (code := _refused(connection, rule, scope))}
            sound = [rule for rule in rules if rule.id not in refused]
            try:
                verdicts = _verdicts(database_url, sound, scope) if sound else {}
            except Exception as error:  # noqa: BLE001 - Great Expectations raises what it pleases, and quotes the server
                # If it was the database that went away, this says so.
                connection.execute(sqlalchemy.text("select 1"))
                return type(error).__name__
            counts: dict[tuple[str, str], int] = {}
            return [
                _result(connection, rule, scope, verdicts[rule.id], counts)
                if rule.id in verdicts
                else _broken(rule, refused.get(rule.id, "no verdict"))
                for rule in rules
            ]
    except SQLAlchemyError as error:
        return "unreachable" if _connection_lost(error) else _code(error)
    finally:
        engine.dispose()


def _verdicts(database_url: str, rules: Sequence[Rule], scope: Scope) -> dict[str, Status]:
    with _quiet():
        from expectations.validation import verdicts

        return verdicts(database_url, _ENGINE_OPTIONS, rules, scope)


def _batch(rule: Rule, scope: Scope) -> str:
    return f"({scope.rows(rule.table)}) as pull"


def _refused(connection: Connection, rule: Rule, scope: Scope) -> str | None:
    """Why the database would not run the rule's query (no such table or column), or None. Planned only, not run."""
    try:
        connection.execute(sqlalchemy.text(f"explain {scope.over_threshold(rule, _batch(rule, scope))}")).all()
    except SQLAlchemyError as error:
        if _connection_lost(error):
            raise
        return _code(error)
    return None


def _result(
    connection: Connection, rule: Rule, scope: Scope, verdict: Status, counts: dict[tuple[str, str], int]
) -> RuleResult:
    """The verdict with the number of judged rows and, where some fail, their keys.

    The keys are asked for here rather than by Great Expectations' `get_unexpected_rows`, which draws a progress bar
    that can't be turned off. `counts` remembers how many rows rules of the same table and `among` judge.
    """
    batch = _batch(rule, scope)
    try:
        if (rule.table, rule.among) not in counts:
            judged = connection.execute(sqlalchemy.text(scope.judged(rule, batch))).scalar_one()
            counts[rule.table, rule.among] = int(judged)
        # A rule with a threshold passes with some rows failing.
        wanted = verdict != "pass" or rule.threshold > 0
        rows = connection.execute(sqlalchemy.text(scope.failing(rule, batch))).all() if wanted else []
    except SQLAlchemyError as error:
        if _connection_lost(error):
            raise
        return _broken(rule, _code(error))
    if verdict == "error":
        return _broken(rule, "raised in Great Expectations")
    keys = sorted(tuple(str(value) for value in row) for row in rows)
    return RuleResult(
        rule_id=rule.id,
        layer=rule.layer,
        severity=rule.severity,
        table=rule.table,
        status=verdict,
        judged_rows=counts[rule.table, rule.among],
        failing_rows=len(keys),
        threshold=rule.threshold,
        key_columns=rule.key,
        # Info records counts: nobody works through its rows.
        keys=() if rule.severity == "info" else tuple(keys),
    )


def _broken(rule: Rule, error: str) -> RuleResult:
    return RuleResult(
        rule_id=rule.id,
        layer=rule.layer,
        severity=rule.severity,
        table=rule.table,
        status="error",
        judged_rows=0,
        failing_rows=0,
        threshold=rule.threshold,
        key_columns=rule.key,
        error=error,
    )


def _connection_lost(error: SQLAlchemyError) -> bool:
    """True when the server was not there: no SQLSTATE at all, class 08 (connection) or 57P (shut down).

    OperationalError alone doesn't say so: a cancelled statement and a full disk are of that class too.
    """
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return state is None or state.startswith(("08", "57P"))


def _code(error: SQLAlchemyError) -> str:
    """SQLSTATE and class of an error, such as `42703 UndefinedColumn`: the server's message may quote a row."""
    original = error.orig if isinstance(error, DBAPIError) else None
    state = getattr(original, "sqlstate", None)
    return f"{state} {type(original).__name__}" if state else type(original or error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Great Expectations' loggers while it runs: it logs the text of SQL errors, which may quote values."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            # It advises add_postgres, which can't be used (see `validation`), once a run.
            warnings.filterwarnings("ignore", module="great_expectations")
            yield
    finally:
        logger.setLevel(level)
