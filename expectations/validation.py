"""What Great Expectations does: the verdict on each rule, by SQL in PostgreSQL.

Importing this module imports Great Expectations, which costs seconds: `gate` imports it when it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import UnexpectedRowsExpectation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from expectations.report import Status
    from expectations.rules import Rule
    from expectations.scope import Scope


class ExpectNoFailingKeys(UnexpectedRowsExpectation):  # type: ignore[misc] # Great Expectations is not typed
    """UnexpectedRowsExpectation by the count of rows alone: one query in place of two, and no row reaches Python."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: object = None, execution_engine: object = None
    ) -> dict[str, bool]:
        return {"success": metrics["unexpected_rows_query.row_count"] == 0}


def verdicts(
    database_url: str, engine_options: Mapping[str, object], rules: Sequence[Rule], scope: Scope
) -> dict[str, Status]:
    """The status of each rule by id: one ephemeral context, one validation a table."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    # add_postgres refuses the URL of a unix socket, which is how the embedded server listens. A dollar sign in a
    # password would be read as a variable to substitute.
    database = context.data_sources.add_sql(
        "warehouse", connection_string=database_url.replace("$", r"\$"), kwargs=dict(engine_options)
    )
    found: dict[str, Status] = {}
    try:
        for table in sorted({rule.table for rule in rules}):
            pull = database.add_query_asset(table, query=scope.rows(table)).add_batch_definition_whole_table("pull")
            suite = gx.ExpectationSuite(
                name=table, expectations=[_expectation(rule, scope) for rule in rules if rule.table == table]
            )
            validation = gx.ValidationDefinition(name=table, data=pull, suite=context.suites.add(suite))
            # BOOLEAN_ONLY: every other format puts values of rows into the result.
            outcome = context.validation_definitions.add(validation).run(result_format="BOOLEAN_ONLY")
            for result in outcome.results:
                found[result.expectation_config.meta["rule_id"]] = _status(result.success, result.exception_info)
    finally:
        # Its connections would stay open until the context is collected.
        database.get_execution_engine().engine.dispose()
        database.get_engine().dispose()
    return found


def _expectation(rule: Rule, scope: Scope) -> ExpectNoFailingKeys:
    # `{batch}` stands for the rows; all other braces are doubled, since the query goes through str.format.
    query = scope.over_threshold(rule, "\0").replace("{", "{{").replace("}", "}}").replace("\0", "{batch}")
    return ExpectNoFailingKeys(
        unexpected_rows_query=query, severity=rule.severity, description=rule.title, meta={"rule_id": rule.id}
    )


def _status(success: bool, exception_info: Mapping[str, object] | None) -> Status:
    """Great Expectations reports a rule that raised as one that failed; `raised_exception` tells them apart.

    The flag stands at the top when nothing was raised, and under the id of each metric when something was.
    """
    info = exception_info or {}
    per_metric = [entry for entry in info.values() if not isinstance(entry, (bool, str, type(None)))]
    if info.get("raised_exception") or per_metric:
        return "error"
    return "pass" if success else "fail"
