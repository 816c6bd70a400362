"""Flattening as Ibis expressions: out of the few parsed columns of a line, its row of the index, on every engine.

What the parsed columns can't say for certain makes a row *odd*: no plain id, no type, a Patient by identifier, a
Bundle, a line that is not JSON. Odd lines are read again by `lines`, whose word is the definition.
"""

from __future__ import annotations

from typing import Any

import ibis

from fhir_mapping.cohort import CANDIDATE, LINKED, NOTHING, Patterns
from fhir_mapping.lines import owner_element
from fhir_source.source import IN_SCOPE_TYPES, PATIENT_TYPES

#: Types whose owner is not one plain reference.
ODD_TYPES = ("Appointment", "Bundle", "PractitionerRole")
ONE_OWNER = tuple(kind for kind in PATIENT_TYPES if kind not in ("Patient", *ODD_TYPES))
#: Marks of the rows that the index leaves out.
ODD, OUT_OF_SCOPE = -1, -2


def parsed(kind: str) -> dict[str, str]:
    """What to parse of a file that begins with this type, by Ibis type; "" stands for any type of resource.

    `code` and `link` are JSON text.
    """
    columns = {"resourceType": "string", "id": "string", "meta": "struct<lastUpdated: string>"}
    if kind in ("", "Patient"):
        columns["link"] = "string"
    if kind in ("", "Condition"):
        columns["code"] = "string"
    return columns | dict.fromkeys(_owner_elements(kind), "struct<reference: string>")


def raw_lines(kind: str, name: str = "raw", **beside: str) -> Any:
    """The parsed lines as an Ibis table: `id` is JSON text or null, resourceType is called `type`.

    When any type may come, three flags say what the type is: `in_scope`, `one_owner`, `odd_type` (null never).
    """
    columns = {column: what for column, what in parsed(kind).items() if column != "resourceType"}
    flags = dict.fromkeys(() if kind else ("in_scope", "one_owner", "odd_type"), "boolean")
    return ibis.table(columns | {"type": "string"} | flags | beside, name=name)


def index_columns(raw: Any, kind: str, patterns: Patterns, beside: tuple[str, ...] = ()) -> Any:
    """The expression that makes index columns out of parsed ones, and takes those named in `beside` along."""
    plain = raw.id.like('"%') & (raw.id != '""') & ~raw.id.contains("\\")
    owner = _owner(raw, kind)
    if kind:
        certain = plain & (raw.type == kind) & (_is_plain(owner) if kind in ONE_OWNER else ibis.literal(True))
        in_scope = ibis.literal(kind in IN_SCOPE_TYPES)
    else:
        certain = plain & ~raw.odd_type & (~raw.one_owner | _is_plain(owner).fill_null(False))
        in_scope = raw.in_scope
    mark = ibis.cases((~certain.fill_null(False), ODD), (~in_scope, OUT_OF_SCOPE), else_=_mark(raw, kind, patterns))
    return raw.select(
        *beside,
        type=raw.type,
        id=ibis.cases((in_scope, raw.id)),
        owner=owner,
        mark=mark.cast("int8"),
        updated=raw.meta.lastUpdated.try_cast("timestamp('UTC')"),
    )


def _owner_elements(kind: str) -> list[str]:
    kinds = ONE_OWNER if not kind else [kind] if kind in ONE_OWNER else []
    return sorted({owner_element(one) for one in kinds})


def _owner(raw: Any, kind: str) -> Any:
    """The reference to the Patient, as it stands."""
    elements = _owner_elements(kind)
    if not elements:
        return ibis.null("string")
    if kind:
        return raw[elements[0]].reference
    own = [(raw.type == one, owner_element(one)) for one in ("Coverage", "RelatedPerson", "Task")]
    return ibis.cases(
        *((is_one, raw[element].reference) for is_one, element in own),
        (raw.one_owner, raw.subject.reference),
    )


def _is_plain(reference: Any) -> Any:
    """Whether a reference is `Patient/` and an id, and nothing more: all other forms are read in Python."""
    unusual = reference.contains("?") | reference.contains("#") | reference.contains(" ") | reference.contains("/_")
    return reference.startswith("Patient/") & ~unusual & ~reference.endswith("/")


def _mark(raw: Any, kind: str, patterns: Patterns) -> Any:
    branches = []
    if kind in ("", "Patient"):
        linked = raw.link.contains("reference")
        branches.append((linked if kind else linked & (raw.type == "Patient"), LINKED))
    if kind in ("", "Condition"):
        told = raw.code.re_search(patterns.candidate)
        branches.append((told if kind else told & (raw.type == "Condition"), CANDIDATE))
    return ibis.cases(*branches, else_=NOTHING) if branches else ibis.literal(NOTHING)
