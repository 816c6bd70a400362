"""What can go wrong in the gate, as types. None of these holds a value or a row key."""

from __future__ import annotations

from fhir_source.errors import IessError


class CatalogueInvalid(IessError):
    """The catalogue of rules, or a site's table of overrides, is wrong: nothing was checked."""

    exit_code = 30


class GateBlocked(IessError):
    """A critical rule found rows that must not be loaded. The warehouse is as it was."""

    exit_code = 31


class GateBroken(IessError):
    """A rule could not be run, so nothing is known of the rows: told apart from rows that fail."""

    exit_code = 32


class GateUnreachable(IessError):
    """The database was not there, or dropped the connection, while the gate ran."""

    retriable = True
    exit_code = 33
