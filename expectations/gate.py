"""The gate: runs one layer's rules over one staged pull, by Great Expectations, inside PostgreSQL.

Rows never leave the database; keys of failing rows do, into the report and nowhere else. The gate reads committed rows
on connections of its own, in autocommit and read-only, so that it holds no lock that a load could wait for.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
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

# A rule that waits or runs for minutes is broken, and must not hold the pipeline up for ever.
_SESSION = "-c default_transaction_read_only=on -c lock_timeout=60s -c statement_timeout=300s"
_ENGINE_OPTIONS: Mapping[str, object] = {
    "isolation_level": "AUTOCOMMIT",
    "poolclass": sqlalchemy.NullPool,
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
            found = {rule.id: _failing_rows(connection, rule, scope) for rule in rules}
    except SQLAlchemyError as error:
        return "unreachable" if _connection_lost(error) else _code(error)
    # Great Expectations takes a query that raises for a failing row, and repeats the whole suite three times for each:
    # it is given those that run.
    verdicts = _verdicts(database_url, [rule for rule in rules if found[rule.id].error is None], scope)
    return [_result(rule, found[rule.id], verdicts.get(rule.id, "error")) for rule in rules]


@dataclass(frozen=True)
class _Found:
    """How many rows a rule judges, and the keys of those that fail; or why it can't say."""

    judged: int = 0
    keys: tuple[tuple[str, ...], ...] = field(default=(), repr=False)
    error: str | None = None


def _failing_rows(connection: Connection, rule: Rule, scope: Scope) -> _Found:
    """Counts and keys, by the query that Great Expectations is given but for the threshold.

    They are asked for here rather than by its `get_unexpected_rows`, which draws a progress bar that can't be turned
    off, and has no number of judged rows.
    """
    batch = f"({scope.rows(rule.table)}) as pull"
    try:
        judged = connection.execute(sqlalchemy.text(scope.judged(rule, batch))).scalar_one()
        failing = connection.execute(sqlalchemy.text(scope.failing(rule, batch))).all()
    except SQLAlchemyError as error:
        if _connection_lost(error):
            raise
        return _Found(error=_code(error))
    return _Found(judged, tuple(sorted(tuple(str(value) for value in row) for row in failing)))


def _result(rule: Rule, found: _Found, verdict: Status) -> RuleResult:
    return RuleResult(
        rule_id=rule.id,
        layer=rule.layer,
        severity=rule.severity,
        table=rule.table,
        status=verdict,
        judged_rows=found.judged,
        failing_rows=len(found.keys),
        threshold=rule.threshold,
        key_columns=rule.key,
        # Info records counts: nobody works through its rows.
        keys=() if rule.severity == "info" else found.keys,
        error=found.error or ("raised in Great Expectations" if verdict == "error" else None),
    )


def _verdicts(database_url: str, rules: Sequence[Rule], scope: Scope) -> dict[str, Status]:
    """What Great Expectations says of each rule: one ephemeral context, one validation a table."""
    verdicts: dict[str, Status] = {}
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
        from great_expectations.expectations import UnexpectedRowsExpectation

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        # add_postgres refuses the URL of a unix socket, which is how the embedded server listens.
        database = context.data_sources.add_sql(
            "warehouse", connection_string=database_url.replace("$", r"\$"), kwargs=dict(_ENGINE_OPTIONS)
        )
        for table in sorted({rule.table for rule in rules}):
            rows = database.add_query_asset(table, query=scope.rows(table))
            suite = gx.ExpectationSuite(
                name=table,
                expectations=[
                    UnexpectedRowsExpectation(
                        unexpected_rows_query=_for_format(scope.over_threshold(rule, "\0")),
                        severity=rule.severity,
                        description=rule.title,
                        meta={"rule_id": rule.id},
                    )
                    for rule in rules
                    if rule.table == table
                ],
            )
            validation = gx.ValidationDefinition(
                name=table,
                data=rows.add_batch_definition_whole_table("pull"),
                suite=context.suites.add(suite),
            )
            # BOOLEAN_ONLY: every other format puts values of rows into the result.
            outcome = context.validation_definitions.add(validation).run(result_format="BOOLEAN_ONLY")
            for result in outcome.results:
                verdicts[result.expectation_config.meta["rule_id"]] = _status(result.success, result.exception_info)
    return verdicts


def _for_format(query: str) -> str:
    """The query as Great Expectations wants it: `{batch}` for the rows, and all other braces doubled."""
    return query.replace("{", "{{").replace("}", "}}").replace("\0", "{batch}")


def _status(success: bool, exception_info: Mapping[str, object] | None) -> Status:
    """Great Expectations reports a rule that raised as one that failed; `raised_exception` tells them apart.

    The flag stands at the top when nothing was raised, and under the id of each metric when something was.
    """
    info = exception_info or {}
    per_metric = [entry for entry in info.values() if not isinstance(entry, (bool, str, type(None)))]
    if info.get("raised_exception") or per_metric:
        return "error"
    return "pass" if success else "fail"


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
            # It advises add_postgres, which can't be used (see `_verdicts`), once a run.
            warnings.filterwarnings("ignore", module="great_expectations")
            yield
    finally:
        logger.setLevel(level)
