"""What is wrong with a row of a value set: a code that is none of its system, roles that contradict each other."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from fhir_mapping.codes.normal import HCPCS, ICD_9_CM, ICD_10_CM, ICD_10_PCS, ICD_10_WHO, NUCC, RXNORM, SNOMED_CT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_mapping.codes.loader import CodeRow

WITHDRAWN = "-"
#: What a code of each system looks like; families end in *.
SHAPES = {
    ICD_10_CM: r"[A-Z]\d[0-9A-Z](\.[0-9A-Z]{0,4})?",
    ICD_10_WHO: r"[A-Z]\d\d(\.\d)?",
    ICD_9_CM: r"[EV]?\d{3}(\.\d{1,2})?",
    SNOMED_CT: r"\d{6,18}",
    "http://www.ama-assn.org/go/cpt": r"\d{4}[0-9A-Z]",
    "http://loinc.org": r"(LA|LP)?\d{1,6}-\d",
    NUCC: r"\d{3}[0-9A-Z]{6}X",
    RXNORM: r"\d{2,7}",
    HCPCS: r"[A-Z]\d{4}",
    ICD_10_PCS: r"[0-9A-HJ-NP-Z]{7}",
    "https://nahdo.org/sopt": r"\d{1,4}",
}
#: Roles of which a code can hold one only.
_EITHER = (
    ("iess_definite", "iess_probable", "iess_late_onset", "iess_ambiguous", "not_iess"),
    ("concern_a", "concern_b", "concern_c"),
    ("referral_neurology", "referral_generic", "referral_other", "referral_eeg"),
    ("specialty_neurology", "specialty_other"),
    ("eeg", "eeg_setup", "eeg_professional", "not_eeg"),
    ("interpreter_yes", "interpreter_no"),
    ("ethnicity_hispanic", "ethnicity_not_hispanic"),
    ("route_systemic", "route_local"),
)
_EITHER_OF_PREFIX = ("drug_", "payer_", "ga_weeks_")


def shaped(row: CodeRow) -> bool:
    """Whether the code looks like one of its system (of which nothing is known: always)."""
    shape = SHAPES.get(row.system)
    if shape is None or ".." in row.code:
        return True
    if row.code.endswith("*"):
        return any(re.fullmatch(shape, row.code[:-1].rstrip(".") + more) for more in ("", "0", ".0", "00", "000"))
    return re.fullmatch(shape, row.code) is not None


def problem_of(row: CodeRow, known_roles: set[str], open_roles: tuple[str, ...]) -> str | None:
    """What is wrong with the row by itself, in words that end "row 7 ..."; None when nothing is."""
    if not row.system or not row.code:
        return "lacks a system or a code"
    if row.role != WITHDRAWN and row.role not in known_roles and not row.role.startswith(open_roles):
        return "has a role that no rule knows"
    if ".." in row.code and not re.fullmatch(r"\d+\.\.\d+", row.code):
        return "has a range that is none"
    if row.since and row.until and row.until < row.since:
        return "ends before it begins"
    return None if shaped(row) else "has a code that is none of its system"


def contradictions(rows: Iterable[CodeRow]) -> list[tuple[str, str, frozenset[str]]]:
    """(system, code, roles) of every code that holds two roles of which it can hold one only."""
    roles: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        roles[row.system, row.code].add(row.role)
    found = []
    for (system, code), held in sorted(roles.items()):
        groups = [held.intersection(group) for group in _EITHER]
        groups += [{role for role in held if role.startswith(prefix)} for prefix in _EITHER_OF_PREFIX]
        found += [(system, code, frozenset(group)) for group in groups if len(group) > 1]
    return found
