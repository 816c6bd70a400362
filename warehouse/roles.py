"""Roles, grants, and row-level security by site.

Five group roles without a login; people's and services' logins are members of one. A login reads the sites that
`clinical.site_access` gives to it or to a group it belongs to. Grants are by schema, so that a new table is covered
on the day it is made, and by nothing else than the schema that it was put into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from warehouse.schema.base import SCHEMAS

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOADER, CLINICAL, ANALYST, OPERATOR, PUBLIC = (
    "iess_loader",
    "iess_clinical",
    "iess_analyst",
    "iess_operator",
    "iess_public",
)
ROLES: dict[str, str] = {
    LOADER: "Reads and writes everything: the pipeline. Reads all sites.",
    CLINICAL: "Reads clinical (its sites only), analytics, published and ops; answers alerts: care teams.",
    ANALYST: "Reads analytics and published.",
    OPERATOR: "Reads ops and published: those who keep it running.",
    PUBLIC: "Reads published: everyone with a login.",
}
#: Schema -> roles that read it. The loader writes them all.
READERS: dict[str, tuple[str, ...]] = {
    "clinical": (CLINICAL,),
    "analytics": (CLINICAL, ANALYST),
    "published": (CLINICAL, ANALYST, OPERATOR, PUBLIC),
    "ops": (CLINICAL, OPERATOR),
}

#: What PostgreSQL grants everyone on a database is taken back: whoever may make a temporary function could plant one.
DATABASE_GRANTS = (
    "REVOKE TEMPORARY, CREATE ON DATABASE {} FROM PUBLIC",
    f"GRANT TEMPORARY ON DATABASE {{}} TO {LOADER}, {CLINICAL}, {ANALYST}",
)


def statements() -> list[str]:
    """SQL that makes roles, grants and policies. Safe to run again."""
    return [*_roles(), *_database(), *_grants(), *_policies()]


def _roles() -> list[str]:
    made = []
    for role, comment in ROLES.items():
        # Roles belong to the whole server: a database beside ours may have made them, at this moment too.
        made.append(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
            f"THEN CREATE ROLE {role} NOLOGIN; COMMENT ON ROLE {role} IS '{comment}'; END IF; "
            "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    return made


def _database() -> list[str]:
    grants = "; ".join(
        f"EXECUTE format('{statement.format('%I')}', current_database())" for statement in DATABASE_GRANTS
    )
    public = "IF to_regnamespace('public') IS NOT NULL THEN REVOKE CREATE ON SCHEMA public FROM PUBLIC; END IF"
    return [f"DO $$ BEGIN {grants}; {public}; END $$"]


def database_in_place(connection: Connection) -> bool:
    """Whether the database itself is closed to everyone: a copy or a restored dump comes without its grants."""
    return not connection.execute(
        text("SELECT has_database_privilege('public', current_database(), 'TEMPORARY')")
    ).scalar_one()


def _grants() -> list[str]:
    everyone = ", ".join(ROLES)
    made = []
    for schema in SCHEMAS:
        made += [
            f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC, {everyone}",
            f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {everyone}",
            f"REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC, {everyone}",
            f"GRANT USAGE ON SCHEMA {schema} TO {LOADER}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {LOADER}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {LOADER}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {LOADER}",
        ]
        readers = ", ".join(READERS[schema])
        made += [
            f"GRANT USAGE ON SCHEMA {schema} TO {readers}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {readers}",
            f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {readers}",
        ]
    made.append(
        f"""DO $$ DECLARE made record; BEGIN
        FOR made IN SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
            WHERE schemaname IN ('clinical', 'ops') AND starts_with(tablename, 'stg_')
        LOOP
            EXECUTE 'REVOKE ALL ON ' || made.name || ' FROM {CLINICAL}, {OPERATOR}';
        END LOOP;
        IF current_setting('server_version_num')::integer >= 170000 THEN  -- to ANALYZE what was staged, or erased
            GRANT MAINTAIN ON ALL TABLES IN SCHEMA clinical, analytics TO {LOADER};
            GRANT MAINTAIN ON ops.stg_ledger, ops.stg_pull TO {LOADER};
        END IF; END $$"""  # noqa: S608
    )
    made.append(_without_system_columns())
    # Who was erased, and which key is in use, concerns the loader and the owner only.
    made.append(f"REVOKE ALL ON ops.erasure, ops.hash_key FROM {CLINICAL}, {OPERATOR}")
    # Who is responsible for care takes an alert, moves and closes it; its log is only ever added to.
    made += [
        f"GRANT UPDATE (status, assignee, closed_on, resolution) ON ops.alert TO {CLINICAL}",
        f"GRANT INSERT ON ops.alert_event TO {CLINICAL}",
    ]
    # The loader can't give itself or others a site, say that the database was migrated, or rewrite what it recorded.
    made += [
        f"REVOKE INSERT, UPDATE, DELETE ON clinical.site_access, ops.alembic_version, ops.schema_state FROM {LOADER}",
        f"REVOKE UPDATE, DELETE ON ops.pull, ops.ledger, ops.erasure, ops.purge FROM {LOADER}",
    ]
    return made


def _without_system_columns() -> str:
    """Infants' rows in `analytics` are granted column by column, and their partitions not at all.

    `xmin` and `ctid`, which a grant on the table includes, tell in which load, and so on which day, a row was written.
    """
    readers = ", ".join(READERS["analytics"])
    return f"""DO $$ DECLARE made record; BEGIN
        FOR made IN SELECT c.oid::regclass AS name, c.relispartition AS part,
                           string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns
              FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p')
             GROUP BY c.oid HAVING bool_or(a.attname = 'infant_key')
        LOOP
            EXECUTE format('REVOKE ALL ON %s FROM {readers}', made.name);
            IF NOT made.part THEN
                EXECUTE format('GRANT SELECT (%s) ON %s TO {readers}', made.columns, made.name);
            END IF;
        END LOOP; END $$"""  # noqa: S608 - our own names


def _policies() -> list[str]:
    """Row-level security on every clinical table that has a source; the owner is above it, as PostgreSQL has it.

    Not on staging: COPY is not supported with it, and nobody but the loader reads there.
    """
    return [
        _IS_AMONG,
        "COMMENT ON FUNCTION clinical.is_among IS 'Whether a site is one of these; row-level security asks it first.'",
        "REVOKE EXECUTE ON FUNCTION clinical.is_among FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION clinical.is_among TO {CLINICAL}",
        f"""DO $$ DECLARE made record; BEGIN
        FOR made IN SELECT format('clinical.%I', table_name) AS name FROM information_schema.columns
            JOIN information_schema.tables USING (table_schema, table_name)
            WHERE table_schema = 'clinical' AND column_name = 'source' AND table_type = 'BASE TABLE'
              AND table_name <> 'site_access' AND NOT starts_with(table_name, 'stg_')
        LOOP
            EXECUTE 'ALTER TABLE ' || made.name || ' ENABLE ROW LEVEL SECURITY';
            EXECUTE 'DROP POLICY IF EXISTS loader ON ' || made.name;
            EXECUTE 'DROP POLICY IF EXISTS site ON ' || made.name;
            EXECUTE 'CREATE POLICY loader ON ' || made.name || ' TO {LOADER} USING (true) WITH CHECK (true)';
            EXECUTE 'CREATE POLICY site ON ' || made.name || ' FOR SELECT TO {CLINICAL} USING ({_SITES})';
        END LOOP; END $$""",  # noqa: S608 - our own names
    ]


#: True for rows of the sites that the login, or a group of it, may read; these are worked out once a query. EXPLAIN
#: ANALYZE counts what each condition removes, and PostgreSQL runs cheap conditions of the reader's own before a dearer
#: policy: counts would tell whether another site has an infant. So the check claims to cost next to nothing, and comes
#: first; the array besides is what indices, which start with the source, are searched by.
_SITES = (
    "clinical.is_among(source, ARRAY(SELECT clinical.readable_sites())) "
    "AND source = ANY (ARRAY(SELECT clinical.readable_sites()))"
)
_IS_AMONG = """CREATE OR REPLACE FUNCTION clinical.is_among(site text, sites text[]) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 0.0001 AS 'BEGIN RETURN site = ANY (sites); END'"""
