"""Roles, grants, and row-level security by site.

Five group roles without a login; people's and services' logins are members of one. A login reads the sites that
`clinical.site_access` gives to it or to a group it belongs to. Grants are by schema, so that a new table is covered
on the day it is made, and by nothing else than the schema that it was put into.
"""

from __future__ import annotations

from warehouse.schema.base import SCHEMAS

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


def statements() -> list[str]:
    """SQL that makes roles, grants and policies. Safe to run again."""
    return [*_roles(), *_grants(), *_policies()]


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
        LOOP EXECUTE 'REVOKE ALL ON ' || made.name || ' FROM {CLINICAL}, {OPERATOR}'; END LOOP; END $$"""  # noqa: S608
    )
    # Who was erased, and which key is in use, concerns the loader and the owner only.
    made.append(f"REVOKE ALL ON ops.erasure, ops.hash_key FROM {CLINICAL}, {OPERATOR}")
    # Who is responsible for care takes an alert, moves and closes it; its log is only ever added to.
    made += [
        f"GRANT UPDATE (status, assignee, closed_on, resolution) ON ops.alert TO {CLINICAL}",
        f"GRANT INSERT ON ops.alert_event TO {CLINICAL}",
    ]
    # The loader can't give itself or others a site.
    made.append(f"REVOKE INSERT, UPDATE, DELETE ON clinical.site_access FROM {LOADER}")
    return made


def _policies() -> list[str]:
    """Row-level security on every clinical table that has a source; the owner is above it, as PostgreSQL has it.

    Not on staging: COPY is not supported with it, and nobody but the loader reads there.
    """
    return [
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
        END LOOP; END $$"""  # noqa: S608 - our own names
    ]


#: True for rows of the sites that the login, or a group of it, may read. Quotes are doubled: it stands inside text.
_SITES = (
    "EXISTS (SELECT FROM clinical.site_access a JOIN pg_roles r ON r.rolname = a.role_name "
    "WHERE a.source IN (' || made.name || '.source, ''*'') AND pg_has_role(current_user, r.oid, ''MEMBER''))"
)
