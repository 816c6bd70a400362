"""Reads the value sets and answers what a code means."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from fhir_mapping.codes.checks import WITHDRAWN, contradictions, problem_of
from fhir_mapping.codes.normal import DOTTED, ICD_10_CM, ICD_10_WHO, normal_code, normal_uri
from fhir_source.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Raised whenever a shipped row changes; a test holds it together with the hash of the rows.
SET_VERSION = "2026.11.7"
FIELDS = ("system", "code", "label", "role", "evidence", "source", "since", "until")
EVIDENCE = frozenset({"V", "3P", "MEM", "local"})
_FILES = (
    "conditions.csv",
    "concerns.csv",
    "etiologies.csv",
    "referrals.csv",
    "specialties.csv",
    "studies.csv",
    "treatments.csv",
    "people.csv",
    "payers.csv",
)
#: Roles that a site may coin a new member of: a drug or an etiology that we do not ship.
_OPEN_ROLES = ("drug_", "etiology_")
_SEE = "see docs/timeline.md for the columns and roles"
_NO_ROLES: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CodeRow:
    """One row of a value set: what one code (or family of codes) means to the rules."""

    system: str
    code: str
    label: str
    role: str
    evidence: str
    source: str
    since: date | None
    until: date | None


class Codes:
    """The value sets, indexed. Lookups are by system and code as they stand in a Coding."""

    def __init__(self, rows: Iterable[CodeRow], aliases: Iterable[tuple[str, str]]) -> None:
        self.rows = tuple(rows)
        self._preferred: dict[str, str] = {}
        self._aliases: dict[str, list[str]] = defaultdict(list)
        for system, alias in aliases:
            self._preferred[normal_uri(system)] = system
            self._preferred[normal_uri(alias)] = system
            self._aliases[system].append(alias)
        for row in self.rows:
            self._preferred.setdefault(normal_uri(row.system), row.system)
        self._exact: dict[tuple[str, str], list[CodeRow]] = defaultdict(list)
        self._families: dict[str, list[tuple[str, list[CodeRow]]]] = {}
        self._ranges: dict[str, list[tuple[int, int, CodeRow]]] = defaultdict(list)
        self._index()
        self._cache: dict[tuple[str, str], tuple[tuple[CodeRow, ...], frozenset[str]]] = {}
        digest = hashlib.sha256(repr(sorted(map(repr, self.rows))).encode()).hexdigest()[:8]
        self.version = f"{SET_VERSION}+{digest}"

    def _index(self) -> None:
        families: dict[str, dict[str, list[CodeRow]]] = defaultdict(lambda: defaultdict(list))
        for row in self.rows:
            if row.code.endswith("*"):
                families[row.system][row.code[:-1].rstrip(".")].append(row)
            elif ".." in row.code:
                low, high = row.code.split("..")
                self._ranges[row.system].append((int(low), int(high), row))
            else:
                self._exact[row.system, row.code].append(row)
        for system, by_prefix in families.items():
            # Longest first: the most specific family decides.
            self._families[system] = sorted(by_prefix.items(), key=lambda item: (-len(item[0]), item[0]))

    def system(self, uri: str) -> str | None:
        """The preferred URI of a system that the value sets know, else None."""
        return self._preferred.get(normal_uri(uri))

    def spellings(self, system: str) -> tuple[str, ...]:
        """Every URI under which a system is seen, the preferred one first."""
        return (system, *self._aliases.get(system, ()))

    def rows_of(self, system: str, code: str) -> tuple[CodeRow, ...]:
        """The rows that a coding matches; empty for an unknown system or code."""
        return self._known(system, code)[0]

    def _known(self, system: str, code: str) -> tuple[tuple[CodeRow, ...], frozenset[str]]:
        """The rows of a coding, and their roles."""
        key = (system, code)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) > 200_000:  # a site's own codes are without number; the cache is not
                self._cache.clear()
            rows = self._find(system, code)
            roles = frozenset(row.role for row in rows if row.role != WITHDRAWN) if rows else _NO_ROLES
            found = self._cache[key] = (rows, roles)
        return found

    def _find(self, system: str, code: str) -> tuple[CodeRow, ...]:
        preferred = self.system(system)
        if preferred is None:
            return ()
        normal = normal_code(preferred, code)
        if preferred == ICD_10_WHO and len(normal) >= 6:
            # Cerner declares the WHO URI for ICD-10-CM; WHO codes have no more than one digit after the dot.
            return self._match(ICD_10_CM, normal)
        rows = self._match(preferred, normal)
        if not rows and preferred == ICD_10_WHO:
            # At four characters the two mean the same, but for epileptic spasms, which only ICD-10-CM tells apart.
            rows = tuple(row for row in self._match(ICD_10_CM, normal) if not row.role.startswith("iess_"))
        return rows

    def _match(self, system: str, code: str) -> tuple[CodeRow, ...]:
        exact = self._exact.get((system, code))
        if exact:
            return (*exact, *self._in_ranges(system, code))
        for prefix, rows in self._families.get(system, ()):
            if code.startswith(prefix):
                return tuple(rows)
        return self._in_ranges(system, code)

    def _in_ranges(self, system: str, code: str) -> tuple[CodeRow, ...]:
        ranges = self._ranges.get(system)
        number = code.partition("-")[0]
        if not ranges or not (number.isascii() and number.isdigit()):
            return ()
        return tuple(row for low, high, row in ranges if low <= int(number) <= high)

    def roles(self, system: str, code: str) -> frozenset[str]:
        """What a coding means: the roles of every row that it matches."""
        return self._known(system, code)[1]

    def valid_on(self, system: str, code: str, day: date) -> bool:
        """Whether the code was in use on that day (a code without limits always is)."""
        return all(
            (row.since is None or row.since <= day) and (row.until is None or day <= row.until)
            for row in self.rows_of(system, code)
        )

    def pairs(self, *roles: str) -> list[tuple[str, str]]:
        """Exact (preferred system, code) pairs with any of the roles, sorted; families and ranges are not listed."""
        wanted = frozenset(roles)
        return sorted({key for key, rows in self._exact.items() if any(row.role in wanted for row in rows)})

    def search_pairs(self, *roles: str) -> list[tuple[str, str]]:
        """Every spelling under which a server may hold the codes of `pairs`, since it matches tokens exactly.

        Each URI of the system; an ICD code with and without its dot, in capitals and lower case (G2). Sorted.
        """
        found: set[tuple[str, str]] = set()
        for system, code in self.pairs(*roles):
            forms = {code}
            if system in DOTTED:
                forms |= {form for written in (code, code.replace(".", "")) for form in (written, written.lower())}
            found |= {(spelling, form) for spelling in self.spellings(system) for form in forms}
        return sorted(found)


def load(local: Path | None = None) -> Codes:
    """The shipped value sets, with a site's own rows added.

    Raises `SettingsError` when the local file lacks a column, holds a role that no rule knows, or a date that is none.
    """
    shipped, aliases = _shipped()
    if local is None:
        return _default()
    return Codes(_with_local(shipped, local, _default()), aliases)


@lru_cache(maxsize=1)
def _default() -> Codes:
    return Codes(*_shipped())


@lru_cache(maxsize=1)
def _shipped() -> tuple[tuple[CodeRow, ...], tuple[tuple[str, str], ...]]:
    folder = resources.files(__package__ or "fhir_mapping.codes")
    rows: list[CodeRow] = []
    for name in _FILES:
        text = (folder / name).read_text(encoding="utf-8")
        rows += [_row(record) for record in csv.DictReader(text.splitlines())]
    text = (folder / "systems.csv").read_text(encoding="utf-8")
    aliases = tuple((record["system"], record["alias"]) for record in csv.DictReader(text.splitlines()))
    return tuple(rows), aliases


def _known_roles() -> frozenset[str]:
    """Every role that a rule reads: a few have no shipped row, and are for a site's own codes."""
    text = (resources.files("fhir_mapping") / "roles.csv").read_text(encoding="utf-8")
    return frozenset(record["role"] for record in csv.DictReader(text.splitlines()))


def _row(record: dict[str, str]) -> CodeRow:
    def day(name: str) -> date | None:
        return date.fromisoformat(record[name]) if record[name] else None

    return CodeRow(
        record["system"],
        record["code"],
        record["label"],
        record["role"],
        record["evidence"],
        record["source"],
        day("since"),
        day("until"),
    )


def _with_local(shipped: tuple[CodeRow, ...], local: Path, codes: Codes) -> list[CodeRow]:
    known = {row.role for row in shipped} | _known_roles()
    try:
        with local.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in FIELDS[:4] if name not in (reader.fieldnames or ())]
            if missing:
                raise SettingsError(f"the local value set has no column {', '.join(missing)}", file=str(local))
            records = [{name: (record.get(name) or "").strip() for name in FIELDS} for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError("the local value set can't be read", file=str(local)) from error
    rows = list(shipped)
    for number, record in enumerate(records, start=2):
        try:
            row = _row({**record, "evidence": record["evidence"] or "local"})
        except ValueError as error:
            raise SettingsError(f"row {number} of the local value set has no valid date", file=str(local)) from error
        preferred = codes.system(row.system) or row.system
        row = replace(row, system=preferred, code=normal_code(preferred, row.code))
        problem = problem_of(row, known, _OPEN_ROLES)
        if problem:
            raise SettingsError(f"row {number} of the local value set {problem}", file=str(local), next_step=_SEE)
        if row.role == WITHDRAWN:
            rows = [other for other in rows if (other.system, other.code) != (row.system, row.code)]
            rows.append(row)  # stands in the way of a family that has the code
        elif row not in rows:
            rows.append(row)
    for _, code, roles in contradictions(rows):
        raise SettingsError(
            f"with the local value set, {code} is both {' and '.join(sorted(roles))}",
            file=str(local),
            next_step="withdraw the shipped meaning first, by a row with the role -",
        )
    return rows
