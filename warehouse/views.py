"""Views and as-of functions. Each has a comment that says what it is and its grain; analysts start here.

`clinical` views run with the reader's own rights (`security_invoker`), so that row-level security by site holds
through them. Views elsewhere run with the owner's, which is how operators see counts from `clinical` and no rows; those
are security barriers, so that no function of the reader's sees a row before it is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_mapping.contract import INTERVALS, IntervalDefinition
from warehouse import attributes
from warehouse.schema.analytics import LONGEST_OPEN_WAIT_DAYS, InfantInterval
from warehouse.schema.base import SCHEMAS
from warehouse.schema.contract import contract_names


@dataclass(frozen=True)
class View:
    """One view or function. `signature` is the function's arguments; None for a view."""

    name: str  # schema.name
    comment: str
    sql: str
    signature: str | None = None
    definer: bool = False  # a function that reads with its owner's rights

    @property
    def schema(self) -> str:
        return self.name.partition(".")[0]


def _wait(interval: IntervalDefinition) -> str:
    """One row of the unpivot: an interval's name and its four columns."""
    return (
        f"('{interval.name}', t.status_{interval.name}, t.delayed_{interval.name}, "
        f"t.days_{interval.name}_low, t.days_{interval.name}_high)"
    )


#: One year an infant: the years in which two waits begin, with the days between, would date who crossed a New Year.
_YEAR = """extract(year FROM coalesce(t.first_provider, least(
       t.suspected, t.referral, t.neurology, t.eeg, t.diagnosis, t.first_line)))::integer"""


#: What analysts see of a timeline row `t` with its key `k` and wait `w`: coarsened after days and ages were counted.
_COARSENED = {
    "interval_name": "w.interval_name",
    "source": "t.source",
    "infant_key": "k.infant_key",
    "cohort": "t.cohort",
    "year": _YEAR,
    "age_months": (
        "(extract(year FROM age(t.first_provider, t.birth_date)) * 12 "
        "+ extract(month FROM age(t.first_provider, t.birth_date)))::integer"
    ),
    **{name: f"t.{name}" for name in ("sex", "race_ethnicity", "bipoc", "payer", "language", "interpreter", "pathway")},
    **{name: f"c.{name}" for name in attributes.COARSE},
    **{name: f"w.{name}" for name in ("status", "delayed")},
    # Who waits now has waited since today less the days so far: beyond these, that would be a date.
    **{
        name: f"CASE WHEN w.status = 'censored' THEN least(w.{name}, {LONGEST_OPEN_WAIT_DAYS}) ELSE w.{name} END"
        for name in ("days_low", "days_high")
    },
}
#: Columns of `analytics.infant_interval`, in its order: every one has its expression above.
INTERVAL_COLUMNS = {column.name: str(column.type).lower() for column in InfantInterval.__table__.columns}
_COARSE = ",\n       ".join(f"{_COARSENED[name]} AS {name}" for name in INTERVAL_COLUMNS)
_COARSE_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in INTERVAL_COLUMNS.items())
#: OFFSET 0 has groups worked out once an infant, and not once an interval.
_UNPIVOT = f"""FROM clinical.referral_timeline t
  JOIN clinical.infant_key k USING (source, infant)
  {attributes.AREA}
 CROSS JOIN LATERAL (SELECT {", ".join(f"{sql} AS {name}" for name, sql in attributes.COARSE.items())}
       OFFSET 0) AS c
 CROSS JOIN LATERAL (VALUES
       {("," + chr(10) + "       ").join(_wait(interval) for interval in INTERVALS)}
       ) AS w (interval_name, status, delayed, days_low, days_high)"""

#: Columns of a timeline row `t` as `warehouse.state.timelines` gives them, but for the deprivation of its area.
TIMELINE_COLUMNS = {
    **{name: f"t.{name}" for name in ("source", "infant", *contract_names())},
    **attributes.expressions(),
    "deprivation_quintile": "area.deprivation_quintile",
}
TIMELINE_SELECT = ", ".join(f"{sql} AS {name}" for name, sql in TIMELINE_COLUMNS.items())

VIEWS: tuple[View, ...] = (
    View(
        "clinical.readable_sites",
        "The sites that the login may read in this schema, by clinical.site_access. Grain: source.",
        # All sites are those that were ever loaded or judged; there are few, so each is looked up by the next name.
        "WITH RECURSIVE given AS (SELECT a.source FROM clinical.site_access a JOIN pg_roles r "
        "ON r.rolname = a.role_name WHERE pg_has_role(current_user, r.oid, 'MEMBER')), "
        "every AS (SELECT (SELECT min(g.source) FROM ops.gate_result g) AS source UNION ALL "
        "SELECT (SELECT min(g.source) FROM ops.gate_result g WHERE g.source > e.source) FROM every e "
        "WHERE e.source IS NOT NULL) "
        "SELECT g.source FROM given g WHERE g.source <> '*' UNION "
        "SELECT s.source FROM (SELECT e.source FROM every e UNION SELECT w.source FROM ops.watermark w) s "
        "WHERE s.source IS NOT NULL AND EXISTS (SELECT FROM given g WHERE g.source = '*')",
        signature=") RETURNS SETOF text",
    ),
    View(
        "clinical.v_timeline",
        "Current referral timelines, with the mapping's attributes and the area's deprivation as columns (their "
        "meaning: docs/timeline.md). Grain: source, infant.",
        f"SELECT {TIMELINE_SELECT}, t.valid_from, t.pull_id "  # noqa: S608 - our own names
        f"FROM clinical.referral_timeline t {attributes.AREA} WHERE t.valid_to IS NULL",
    ),
    View(
        "clinical.timeline_as_of",
        "Referral timelines as they were known at an instant. Grain: source, infant.",
        # The censor date of a row is moved on while it is current: what was known then is how far the data reached.
        "SELECT known.* FROM clinical.referral_timeline t "
        "CROSS JOIN LATERAL (SELECT max(p.as_of) AS reached FROM ops.pull p "
        "WHERE p.source = t.source AND p.known_at <= as_known) then_known "
        "CROSS JOIN LATERAL jsonb_populate_record(t, CASE WHEN then_known.reached < t.censored_on "
        "THEN jsonb_build_object('censored_on', then_known.reached) ELSE '{}' END) AS known "
        "WHERE t.valid_from <= as_known AND (t.valid_to IS NULL OR t.valid_to > as_known)",
        signature="as_known timestamptz) RETURNS SETOF clinical.referral_timeline",
    ),
    View(
        "clinical.v_interval",
        "Waits of the current timelines as analysts see them, with the infant. Grain: source, infant, interval.",
        f"SELECT t.infant, {_COARSE} {_UNPIVOT} WHERE t.valid_to IS NULL",
    ),
    View(
        "clinical.interval_as_of",
        "Waits as they were known at an instant; columns of analytics.infant_interval and the infant. "
        "Grain: source, infant, interval.",
        f"SELECT t.infant, {_COARSE} {_UNPIVOT} WHERE t.valid_from <= as_known "
        "AND (t.valid_to IS NULL OR t.valid_to > as_known)",
        signature=f"as_known timestamptz) RETURNS TABLE (infant text, {_COARSE_COLUMNS})",
    ),
    View(
        "clinical.v_evidence",
        "From a milestone to the FHIR resource and the pull that it came in. Grain: infant, milestone, rule, resource.",
        "SELECT e.source, e.infant, e.milestone, e.low, e.high, e.precision, e.rule, e.certainty, e.detail, "
        "e.resource_type, e.resource_id, e.version_id, r.last_updated, r.pull_id AS resource_pull_id, "
        "r.nonconformant_paths, r.body "
        "FROM clinical.milestone_event e "
        "LEFT JOIN clinical.resource r USING (source, resource_type, resource_id)",
    ),
    View(
        "clinical.v_referral_link",
        "Which neurology referral led to which visit in the current timelines: by reference (certainty linked), by "
        "time (inferred), or none, where one side is empty: an orphan. Grain: source, infant, n.",
        "SELECT t.source, t.infant, link.n, link.value ->> 0 AS referral, link.value ->> 1 AS visit, "
        "link.value ->> 2 AS rule, link.value ->> 3 AS certainty "
        "FROM clinical.referral_timeline t "
        "CROSS JOIN LATERAL json_array_elements(t.referral_links) WITH ORDINALITY AS link (value, n) "
        "WHERE t.valid_to IS NULL",
    ),
    View(
        "analytics.v_nonconformance",
        "How well records of each group keep to the FHIR specification: resources of infants with a current timeline "
        "that were judged, that break it, and that the mapping could not read. "
        "Grain: source, dimension (race_ethnicity, payer, language), value, resource type.",
        "SELECT t.source, g.dimension, g.value, r.resource_type, count(*) AS judged, "
        "count(*) FILTER (WHERE cardinality(r.nonconformant_paths) > 0) AS nonconformant, "
        "count(*) FILTER (WHERE r.quarantined) AS quarantined "
        "FROM clinical.referral_timeline t JOIN clinical.resource r USING (source, infant) "
        "CROSS JOIN LATERAL (VALUES ('race_ethnicity', t.race_ethnicity), ('payer', t.payer), "
        "('language', t.language)) AS g (dimension, value) "
        "WHERE t.valid_to IS NULL AND r.nonconformant_paths IS NOT NULL GROUP BY 1, 2, 3, 4",
    ),
    View(
        "ops.v_nonconformance",
        "Which elements break the FHIR specification, and in how many resources. Grain: source, type, path.",
        "SELECT r.source, r.resource_type, p.path, count(*) AS resources FROM clinical.resource r "
        "CROSS JOIN LATERAL unnest(r.nonconformant_paths) AS p (path) GROUP BY 1, 2, 3",
    ),
    View(
        "analytics.v_cohort",
        "Waits of the infants that measures count (definite and probable). Grain: infant, interval.",
        "SELECT * FROM analytics.infant_interval WHERE cohort IN ('definite', 'probable')",
    ),
    View(
        "analytics.v_referral_delay",
        "The primary wait, first provider to neurologist, of the infants that measures count and for whom the wait "
        "is defined. `late` is true over 7 days, false up to 7, empty while it can't be decided. Grain: infant.",
        f"SELECT {', '.join(name for name in INTERVAL_COLUMNS if name not in ('interval_name', 'cohort'))}, "  # noqa: S608
        "CASE delayed WHEN 'yes' THEN true WHEN 'no' THEN false END AS late "
        "FROM analytics.infant_interval WHERE interval_name = 'provider_to_neurology' "
        "AND cohort IN ('definite', 'probable') AND status IN ('event', 'censored', 'competing')",
    ),
    View(
        "analytics.v_counted",
        "Which infants the charts count, frozen when their outcome could be relied on: n_matured and n_late of a "
        "measure with a chart, infant by infant. `days` is empty when no single day is known; `event` is false for "
        "who was still waiting. Grain: measure, infant.",
        # In the order of the keys: the table's own is that of the weeks in which infants came.
        "SELECT o.metric_id, o.definition_version, o.source, k.infant_key, o.late, o.days, o.event "
        "FROM clinical.frozen_outcome o JOIN clinical.infant_key k USING (source, infant) "
        "ORDER BY o.metric_id, k.infant_key",
    ),
    View(
        "analytics.interval_at_year_end",
        "Waits as they were known when a calendar year ended (UTC). Finer instants would let two calls date an "
        "infant's record, so they are for the clinical role: clinical.interval_as_of. Grain: infant, interval.",
        # In the order of the keys: the table's own order is that in which infants arrived.
        f"SELECT {_COARSE} {_UNPIVOT} WHERE t.valid_from < make_timestamptz(known_year + 1, 1, 1, 0, 0, 0, 'UTC') "
        "AND (t.valid_to IS NULL OR t.valid_to >= make_timestamptz(known_year + 1, 1, 1, 0, 0, 0, 'UTC')) "
        "ORDER BY k.infant_key, w.interval_name",
        signature=f"known_year integer) RETURNS TABLE ({_COARSE_COLUMNS})",
        definer=True,
    ),
    View(
        "ops.v_ledger",
        "The ledger of each pull's last attempt. Grain: source, pull, type.",
        "SELECT l.* FROM ops.ledger l JOIN (SELECT source, pull_id, max(attempt) AS attempt FROM ops.pull "
        "GROUP BY source, pull_id) last USING (source, pull_id, attempt)",
    ),
    View(
        "ops.v_freshness",
        "How old what we know of each source is, by the database's clock. Grain: source.",
        "SELECT w.source, w.pull_id AS last_pull_id, w.instant AS known_through, "
        "extract(epoch FROM now() - w.instant) / 3600 AS hours_behind, last.data_through, last.loaded_at, "
        "last.complete FROM ops.watermark w LEFT JOIN LATERAL (SELECT p.* FROM ops.pull p "
        "WHERE p.source = w.source ORDER BY p.sequence DESC LIMIT 1) last ON true",
    ),
    View(
        "ops.v_completeness",
        "What arrived from each source, by week of the pull (Monday, UTC). `state` is missing for a week without a "
        "load of a source that had one before: nothing is known of it, which is not 0. Shares are of timelines "
        "opened in that week; the lag is from a milestone's day to the pull that told of it. Grain: source, week.",
        """
        WITH loaded AS (
            SELECT source, date_trunc('week', known_at AT TIME ZONE 'UTC')::date AS week, pull_id, attempt, complete
              FROM ops.pull
        ), weeks AS (
            SELECT s.source, w::date AS week
              FROM (SELECT source, min(week) AS first FROM loaded GROUP BY source) s
              CROSS JOIN LATERAL generate_series(s.first, (SELECT max(week) FROM loaded), interval '7 days') w
        ), received AS (
            SELECT l.source, l.week, count(DISTINCT l.pull_id) AS pulls, bool_and(l.complete) AS complete,
                   sum(g.received) AS received, sum(g.loaded) AS loaded, sum(g.quarantined) AS quarantined
              FROM loaded l LEFT JOIN ops.ledger g USING (source, pull_id, attempt) GROUP BY 1, 2
        ), opened AS (
            SELECT t.source, date_trunc('week', t.valid_from AT TIME ZONE 'UTC')::date AS week,
                   count(DISTINCT t.infant) AS infants,
                   avg((t.race_ethnicity IN ('unknown', 'declined'))::integer) AS unknown_race_ethnicity,
                   avg((t.payer = 'unknown')::integer) AS unknown_payer
              FROM clinical.referral_timeline t GROUP BY 1, 2
        ), lag AS (
            SELECT e.source, p.week,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY p.known_on - e.high) AS median_lag_days
              FROM clinical.milestone_event e
              JOIN clinical.resource r USING (source, resource_type, resource_id)
              JOIN (SELECT source, pull_id, min(date_trunc('week', known_at AT TIME ZONE 'UTC')::date) AS week,
                           min((known_at AT TIME ZONE 'UTC')::date) AS known_on
                      FROM ops.pull GROUP BY 1, 2) p ON (p.source, p.pull_id) = (r.source, r.pull_id)
             GROUP BY 1, 2
        )
        SELECT w.source, w.week, CASE WHEN r.source IS NULL THEN 'missing' ELSE 'loaded' END AS state,
               r.pulls, r.complete, r.received, r.loaded, r.quarantined, o.infants AS infants_changed,
               round(o.unknown_race_ethnicity, 3) AS unknown_race_ethnicity,
               round(o.unknown_payer, 3) AS unknown_payer, lag.median_lag_days
          FROM weeks w LEFT JOIN received r USING (source, week) LEFT JOIN opened o USING (source, week)
          LEFT JOIN lag USING (source, week)
        """,
    ),
    View(
        "ops.v_quarantine",
        "Findings in quarantine by reason, counts only. Grain: source, pull, stage, type, reason.",
        "SELECT q.source, q.pull_id, q.stage, q.resource_type, q.reason, count(*) AS findings "
        "FROM clinical.quarantine q JOIN (SELECT source, pull_id, max(attempt) AS attempt FROM ops.pull "
        "GROUP BY source, pull_id) last USING (source, pull_id, attempt) GROUP BY 1, 2, 3, 4, 5",
    ),
)


def statements() -> list[str]:
    """SQL that makes the views and functions, in order."""
    made = [f"COMMENT ON SCHEMA {schema} IS '{comment}'" for schema, comment in SCHEMAS.items()]
    for view in VIEWS:
        comment = view.comment.replace("'", "''")
        if view.signature is None:
            made.append(f"CREATE VIEW {view.name}{_rights(view)} AS {view.sql}")
            made.append(f"COMMENT ON VIEW {view.name} IS '{comment}'")
            continue
        rights = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp" if view.definer else "SECURITY INVOKER"
        made.append(f"CREATE FUNCTION {view.name}({view.signature} LANGUAGE sql STABLE {rights} AS $${view.sql}$$")
        made.append(f"REVOKE EXECUTE ON FUNCTION {view.name} FROM PUBLIC")
        made.append(f"COMMENT ON FUNCTION {view.name} IS '{comment}'")
    return made


def _rights(view: View) -> str:
    """Whose rights a view reads with; what reads PHI with its owner's applies the reader's functions last."""
    if view.schema == "clinical":
        return " WITH (security_invoker = true)"
    return " WITH (security_barrier = true)" if "clinical." in view.sql else ""


def removal() -> list[str]:
    """SQL that drops every view `v_...`, function and policy of our schemas, those of older code too.

    Trigger functions belong to the tables, and so to the migrations.
    """
    schemas = "('clinical', 'analytics', 'published', 'ops')"
    return [
        f"""DO $$ DECLARE made record; BEGIN
        FOR made IN SELECT format('%I.%I', schemaname, viewname) AS name FROM pg_views
            WHERE schemaname IN {schemas} AND starts_with(viewname, 'v_')
        LOOP EXECUTE 'DROP VIEW IF EXISTS ' || made.name || ' CASCADE'; END LOOP;
        FOR made IN SELECT p.oid::regprocedure AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname IN {schemas} AND p.prorettype <> 'trigger'::regtype
        LOOP EXECUTE 'DROP FUNCTION IF EXISTS ' || made.name || ' CASCADE'; END LOOP;
        FOR made IN SELECT format('%I ON %I.%I', policyname, schemaname, tablename) AS name FROM pg_policies
            WHERE schemaname IN {schemas}
        LOOP EXECUTE 'DROP POLICY ' || made.name; END LOOP;
        END $$"""  # noqa: S608 - nothing from outside
    ]
