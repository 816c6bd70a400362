"""What a server offers, read from its CapabilityStatement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhir_source.errors import SourceMisbehaved
from fhir_source.source import REFERENCED_TYPES
from fhir_source.transport import Refused, Request, Transient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fhir_source.source import FhirVersion
    from fhir_source.transport import Answer, Transport

# How each type is searched by patient, best first; `patient` does for all others (FHIR R4 and R5 search parameters).
_BY_PATIENT = {
    "Patient": ("_id",),
    "Coverage": ("patient", "beneficiary"),
    "Appointment": ("patient", "actor"),
}
_OTHERWISE = ("patient", "subject")
_SEARCHING = frozenset({"search-type", "search"})


@dataclass(frozen=True)
class TypeOffer:
    """What can be asked of one type. `parameters` is empty when the server doesn't list them."""

    parameters: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()  # values of _include: "MedicationRequest:medication"
    search: bool = True
    read: bool = True
    history: bool = False  # of the whole type

    def by_patient(self, resource_type: str) -> tuple[str, ...]:
        """Names of the parameters that select by patient, best first; none when the server lists others only."""
        wanted = _BY_PATIENT.get(resource_type, _OTHERWISE)
        if not self.parameters or wanted == ("_id",):
            return wanted
        return tuple(name for name in wanted if name in self.parameters)


@dataclass(frozen=True)
class Capability:
    """What can be asked of a server."""

    fhir_version: FhirVersion
    offers: dict[str, TypeOffer] = field(default_factory=dict)
    declared: frozenset[str] = frozenset()  # types that the server knows, searchable or not
    date: str | None = None  # the answer's Date header
    software: str | None = None
    exports: bool = False  # declares $export at system level, or on Patient or Group

    def obtainable(self, resource_type: str) -> bool:
        """Whether resources of a type can be brought: the infants' by search, those referred to by reading, too.

        A server that lists no types at all is simply asked.
        """
        if not self.offers:
            return True
        offer = self.offers.get(resource_type)
        if offer is None:
            return False
        if resource_type in REFERENCED_TYPES:
            return offer.search or offer.read
        return offer.search and bool(offer.by_patient(resource_type))

    def not_exported(self, types: Iterable[str]) -> list[str]:
        """Types that an export need not be asked for, sorted.

        A statement without Condition says nothing of them: that of the SMART reference server for Bulk Data declares
        Patient, Group and OperationDefinition, and exports a dozen types.
        """
        return sorted(name for name in types if name not in self.declared) if "Condition" in self.declared else []


async def ask(transport: Transport) -> Capability:
    """GET /metadata. Raises what Transport raises, and SourceMisbehaved for an unknown FHIR version.

    A server that has none is taken at the word of the source's `fhir_version`, and may offer anything.
    """

    def fault(answer: Answer) -> Transient | None:
        if answer.body.get("resourceType") == "CapabilityStatement":
            return None
        return Transient("its /metadata is not a CapabilityStatement", ends_as=SourceMisbehaved)

    try:
        answer = await transport.json(Request(transport.url("metadata")), fault)
    except Refused as refused:
        if transport.source.fhir_version:
            return Capability(transport.source.fhir_version)
        raise SourceMisbehaved(
            f"The server has no CapabilityStatement ({refused.status} for /metadata)",
            source=transport.source.name,
            next_step="check the url (the FHIR base, without /metadata), or set fhir_version if it truly has none",
        ) from None
    return read(answer.body, source=transport.source.name, date=answer.headers.get("date"))


def read(statement: dict[str, Any], *, source: str, date: str | None = None) -> Capability:
    """Read a CapabilityStatement. Raises SourceMisbehaved when the FHIR version is neither R4 nor R5."""
    offers: dict[str, TypeOffer] = {}
    operations: list[str] = []
    declared: set[str] = set()
    for rest in _dicts(statement.get("rest")):
        if rest.get("mode") not in (None, "server"):
            continue
        operations += [str(operation.get("name")) for operation in _dicts(rest.get("operation"))]
        for resource in _dicts(rest.get("resource")):
            declared.add(str(resource.get("type")))
            codes = {interaction.get("code") for interaction in _dicts(resource.get("interaction"))}
            operations += [str(operation.get("name")) for operation in _dicts(resource.get("operation"))]
            parameters = {str(parameter.get("name")) for parameter in _dicts(resource.get("searchParam"))}
            included = resource.get("searchInclude")
            offers[str(resource.get("type"))] = TypeOffer(
                parameters=frozenset(parameters),
                includes=frozenset(map(str, included)) if isinstance(included, list) else frozenset(),
                search=not codes or bool(codes & _SEARCHING),
                read=not codes or "read" in codes,
                history="history-type" in codes,
            )
    software = next(iter(_dicts([statement.get("software")])), {}).get("name")
    return Capability(
        fhir_version=_version(str(statement.get("fhirVersion", "")), source),
        offers=offers,
        declared=frozenset(declared),
        date=date,
        software=software if isinstance(software, str) else None,
        exports=any("export" in name for name in operations),
    )


def _version(declared: str, source: str) -> FhirVersion:
    if declared.startswith(("4.0", "4.3")):
        return "R4"
    if declared.startswith("5."):
        return "R5"
    raise SourceMisbehaved(
        "The server speaks neither FHIR R4 nor R5",
        source=source,
        next_step="check the url; DSTU2 and STU3 are not read",
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
