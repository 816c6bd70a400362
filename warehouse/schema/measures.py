"""Tables of the weekly run: measures and their results, which a trigger keeps from being changed."""

from __future__ import annotations

from datetime import date
from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from warehouse.schema.base import Base


class MeasureRun(Base):
    """One weekly run. Grain: run."""

    __tablename__ = "measure_run"
    __table_args__ = ({"schema": "ops", "comment": "One weekly run of measures, detection and alerts. Grain: run."},)

    run_id: Mapped[str] = mapped_column(
        primary_key=True, comment="id given by the caller, for example weekly-2026-11-23"
    )
    as_of: Mapped[date] = mapped_column(comment="last day that the run looks at")
    code_version: Mapped[str] = mapped_column(comment="version of this project")
    settings_hash: Mapped[str] = mapped_column(comment="hash of all surveillance settings")
    data_through: Mapped[dict[str, Any]] = mapped_column(comment="source -> last day that its data reach")
    infants: Mapped[int] = mapped_column(comment="timelines read")


class MetricDefinition(Base):
    """One version of one measure. Grain: measure and version."""

    __tablename__ = "metric_definition"
    __table_args__ = ({"schema": "analytics", "comment": "Definitions of the measures. Grain: measure and version."},)

    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="short name: I2, I6, standard_first")
    version: Mapped[int] = mapped_column(primary_key=True, comment="rises with every change of meaning")
    name: Mapped[str] = mapped_column(comment="title")
    numerator: Mapped[str] = mapped_column(comment="the adverse outcome, in words")
    denominator: Mapped[str] = mapped_column(comment="who is counted, in words")
    clock_start: Mapped[str] = mapped_column(comment="timeline column that starts the clock")
    clock_stop: Mapped[str | None] = mapped_column(comment="timeline column that stops it; empty for a share")
    threshold_days: Mapped[int | None] = mapped_column(comment="a wait of more days is late; empty for a share")
    competing_events: Mapped[str] = mapped_column(comment="events that end a wait otherwise, comma between")
    direction: Mapped[str] = mapped_column(comment="which way is adverse")
    maturity_days: Mapped[int] = mapped_column(comment="days after threshold or diagnosis until an outcome counts")
    min_n: Mapped[int] = mapped_column(comment="fewer infants have counts and no estimate")
    valid_from: Mapped[date] = mapped_column(comment="first day of validity")
    valid_to: Mapped[date | None] = mapped_column(comment="last day of validity")
    maturity: Mapped[str | None] = mapped_column(comment="when an outcome counts, in words; empty in rows of before")
    sha256: Mapped[str | None] = mapped_column(
        comment="of all that gives the version its meaning; empty in rows of before"
    )


class _Result:
    """Columns of a result, in the analysts' table and in the published one."""

    run_id: Mapped[str] = mapped_column(primary_key=True, comment="the run")
    metric_id: Mapped[str] = mapped_column(primary_key=True, comment="the measure")
    scope: Mapped[str] = mapped_column(
        primary_key=True, comment="network, site:<source>, within-site (stratified by site) or between-site"
    )
    stratum_dimension: Mapped[str] = mapped_column(primary_key=True, comment="all, race_ethnicity, payer ...")
    stratum_value: Mapped[str] = mapped_column(primary_key=True, comment="the group; all for everyone")
    reference_value: Mapped[str] = mapped_column(primary_key=True, comment="the reference of a comparison, or empty")
    window_kind: Mapped[str] = mapped_column(primary_key=True, comment="cumulative or rolling (by week of maturity)")
    estimand: Mapped[str] = mapped_column(
        primary_key=True, comment="prop, median, surv_7, rmst_28, rd, rr, or, rmst_diff_28, hr ..."
    )
    method: Mapped[str] = mapped_column(primary_key=True, comment="the estimator")
    definition_version: Mapped[int] = mapped_column(comment="version of the measure")
    population: Mapped[str] = mapped_column(comment="who is counted: confirmed, by week of diagnosis")
    window_start: Mapped[date | None] = mapped_column(comment="first Monday of the window; empty when cumulative")
    window_end: Mapped[date] = mapped_column(comment="last day of the window")
    as_of: Mapped[date] = mapped_column(comment="last day that the run looks at")
    data_through: Mapped[date | None] = mapped_column(comment="earliest day that the sources' data reach")
    n_eligible: Mapped[int | None] = mapped_column(comment="infants in the denominator, matured or not")
    n_matured: Mapped[int | None] = mapped_column(comment="of those, matured and decided")
    n_late: Mapped[int | None] = mapped_column(comment="of the matured, with the adverse outcome")
    n_pending: Mapped[int | None] = mapped_column(comment="not yet matured, or waiting 7 days or less")
    n_indeterminate: Mapped[int | None] = mapped_column(comment="matured, but partial dates leave it undecided")
    n_events: Mapped[int | None] = mapped_column(comment="waits that ended in the event")
    n_censored: Mapped[int | None] = mapped_column(comment="waits censored")
    n_competing: Mapped[int | None] = mapped_column(comment="waits ended by a competing event")
    n_unknown_stratum: Mapped[int | None] = mapped_column(comment="matured infants whose group isn't known")
    n_reference: Mapped[int | None] = mapped_column(comment="matured infants of the reference")
    n_late_reference: Mapped[int | None] = mapped_column(comment="of those, with the adverse outcome")
    person_days: Mapped[int | None] = mapped_column(comment="days waited, summed")
    estimate: Mapped[float | None] = mapped_column(comment="the estimate; shares from 0 to 1, times in days")
    ci_low: Mapped[float | None] = mapped_column(comment="lower bound; empty when the data set none")
    ci_high: Mapped[float | None] = mapped_column(comment="upper bound; empty when the data set none")
    ci_level: Mapped[float | None] = mapped_column(comment="0.95")
    ci_kind: Mapped[str | None] = mapped_column(comment="fixed:<name> or anytime:<name>")
    se: Mapped[float | None] = mapped_column(comment="standard error; of a ratio, that of its logarithm")
    p_value: Mapped[float | None] = mapped_column(comment="where the method has one")
    adjustment_set: Mapped[str] = mapped_column(
        primary_key=True, comment="what was adjusted for: none, site, clinical_need:age ..."
    )
    null_expectation: Mapped[float | None] = mapped_column(comment="expected value of an index without any disparity")
    quality_flags: Mapped[str] = mapped_column(comment="semicolon between")
    not_estimable_reason: Mapped[str | None] = mapped_column(comment="why a value or a bound is missing")


_NO_NUMBER = "('NaN'::float8, 'Infinity'::float8, '-Infinity'::float8)"
_NUMBERS = ("estimate", "ci_low", "ci_high", "se", "p_value", "null_expectation")
#: What holds of every result: a value or the reason why not, and nothing that is no number.
_SOUND = {
    "finite": " AND ".join(f"{name} NOT IN {_NO_NUMBER}" for name in _NUMBERS),
    "bounds": "ci_low <= ci_high AND se >= 0 AND p_value BETWEEN 0 AND 1",
    "reason": "num_nulls(estimate, ci_low, ci_high) = 0 OR not_estimable_reason IS NOT NULL",
    "counts": "n_late <= n_matured AND n_eligible = n_matured + n_pending + n_indeterminate",
}


class MetricResult(_Result, Base):
    """One estimate, on true counts. Grain: run, measure, scope, stratum, reference, window, estimand, method."""

    __tablename__ = "metric_result"
    __table_args__ = (
        *(CheckConstraint(check, name=name) for name, check in _SOUND.items()),
        {
            "schema": "analytics",
            "comment": "Estimates on true counts. Grain: run, measure, scope, stratum, window, estimand, method.",
        },
    )


#: What may be said of a figure in place of it, or with it.
_STATES = dict.fromkeys(("n_matured", "n_late"), "'shown', 'suppressed', 'missing'") | {
    "estimate": "'shown', 'suppressed', 'missing', 'not_estimable'"
}


class PublishedResult(_Result, Base):
    """The same after disclosure control. Grain: as `analytics.metric_result`."""

    __tablename__ = "metric_result"
    __table_args__ = (
        *(
            CheckConstraint(
                f"{name}_state IN ({states}) AND ({name}_state = 'shown') = ({name} IS NOT NULL)", name=f"{name}_state"
            )
            for name, states in _STATES.items()
        ),
        {"schema": "published", "comment": "Estimates after disclosure control. Grain: as analytics.metric_result."},
    )

    suppressed: Mapped[bool] = mapped_column(comment="whether counts and estimates were withheld")
    n_matured_state: Mapped[str] = mapped_column(
        comment="shown (0 too), suppressed, or missing (a silent source): of n_matured"
    )
    n_late_state: Mapped[str] = mapped_column(comment="the same of n_late")
    estimate_state: Mapped[str] = mapped_column(comment="the same of estimate and its interval, or not_estimable")
    audience: Mapped[str] = mapped_column(comment="for whom the suppression was done")
