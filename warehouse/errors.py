"""What can go wrong in the warehouse, as types, and the translation of database errors into them.

A server's message may quote a row (`Key (infant)=(...) already exists`), so none is passed on: an error carries the
SQLSTATE, which the PostgreSQL manual explains, and no more.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fhir_source.errors import IessError

if TYPE_CHECKING:
    from collections.abc import Iterator


class DatabaseUnreachable(IessError):
    """The database refuses connections, or dropped one."""

    retriable = True
    exit_code = 20


class NotMigrated(IessError):
    """The database lacks migrations that this code needs."""

    exit_code = 21


class SchemaNewer(IessError):
    """The database was migrated by newer code than this."""

    exit_code = 22


class ConservationViolated(IessError):
    """The ledger of a pull does not add up: lines would be lost or counted twice."""

    exit_code = 23


class LoadLocked(IessError):
    """Another load holds the warehouse for longer than this one may wait."""

    retriable = True
    exit_code = 24


class HashKeyChanged(IessError):
    """The key of the infant keys is not the one that the warehouse was filled with."""

    exit_code = 25


class StagingStale(IessError):
    """What is staged is missing, not mapped, or was mapped before another load of the source."""

    retriable = True
    exit_code = 26


class DatabaseFull(IessError):
    """The database has no room left: disk, memory or connections."""

    retriable = True
    exit_code = 27


class RoleRefused(IessError):
    """The login's role may not do this."""

    exit_code = 28


class WarehouseFailed(IessError):
    """The database refused a statement for a reason that the SQLSTATE names."""

    exit_code = 29


class ReleaseRefused(IessError):
    """A table may not be published: a protected cell can be worked out from what it shows."""

    exit_code = 34


class InfantUnknown(IessError):
    """The warehouse holds nothing of this infant."""

    exit_code = 35


class SourceChanged(IessError):
    """A source's time zone is another than before: the dates of its timelines would not agree with each other."""

    exit_code = 36


class ClockWentBack(IessError):
    """A clock shows an earlier time than before: the source's, or this machine's."""

    exit_code = 37


class PullPurged(IessError):
    """The raw files of a pull are gone: retention removed them."""

    exit_code = 38


_KEPT = "the database is as it was before this step"


def translate(error: DBAPIError, *, source: str | None = None) -> IessError:
    """The typed error for a database error, without any text of the server's."""
    state = str(getattr(error.orig, "sqlstate", None) or "")
    if error.connection_invalidated or state[:2] == "08" or state[:3] == "57P" or _never_connected(error):
        return DatabaseUnreachable(
            "The connection to the database failed or was lost",
            source=source,
            kept=_KEPT,
            next_step="start the database, check its URL and login, and run the step again",
        )
    if state == "55P03":
        return LoadLocked(
            "Another load holds the warehouse",
            source=source,
            kept=_KEPT,
            next_step="run the step again when it is done",
        )
    if state[:2] == "53":
        return DatabaseFull(
            f"The database has no room left (SQLSTATE {state})",
            source=source,
            kept=_KEPT,
            next_step="free disk space, memory or connections, and run the step again",
        )
    if state in ("42501", "0LP01", "28000", "28P01"):
        return RoleRefused(
            f"The database login may not do this (SQLSTATE {state})",
            source=source,
            kept=_KEPT,
            next_step="log in as a member of iess_loader, or for migrations as the database's owner",
        )
    return WarehouseFailed(
        f"The database refused a statement (SQLSTATE {state or 'none'}, {type(error.orig).__name__})",
        source=source,
        kept=_KEPT,
        next_step="look the SQLSTATE up in the PostgreSQL manual, appendix A; the server's log has the statement",
    )


def _never_connected(error: DBAPIError) -> bool:
    """psycopg gives connection failures no SQLSTATE but those that the server itself sent."""
    original = error.orig
    return type(original).__name__ in ("OperationalError", "ConnectionTimeout") and not getattr(
        original, "sqlstate", None
    )


@contextmanager
def translated(source: str | None = None) -> Iterator[None]:
    """Turns database errors inside the block into typed errors.

    The original is dropped, and emptied too: it stays reachable as `__context__`, and its text may hold values.
    """
    failed: IessError | None = None
    try:
        yield
    except PoolTimeout:
        failed = DatabaseFull("No connection to the database became free in time", source=source, kept=_KEPT)
    except DBAPIError as error:
        failed = translate(error, source=source)
        _empty(error)
    except StatementError as error:
        failed = WarehouseFailed(
            f"A value could not be sent to the database ({type(error.orig).__name__})", source=source, kept=_KEPT
        )
        _empty(error)
    if failed is not None:
        raise failed from None


def _empty(error: StatementError) -> None:
    if error.orig is not None:
        error.orig.args = ()
    error.__cause__ = error.__context__ = error.orig = error.statement = error.params = None
    error.args = ()
