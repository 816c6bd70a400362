"""Columns of the timeline tables, made from the one list of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Date, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSON

from fhir_mapping.contract import COLUMNS

if TYPE_CHECKING:
    from fhir_mapping.contract import ColumnType

_TYPES: dict[ColumnType, Any] = {"text": Text, "date": Date, "int": Integer, "json": JSON}
_UNITS: dict[ColumnType, str] = {"text": "", "date": "; local date of the site", "int": "; days", "json": ""}
#: Columns that the mapping always fills.
_REQUIRED = {"cohort", "sex", "pathway", "race_ethnicity", "bipoc", "payer", "language", "interpreter", "flags"}
KEYS = ("source", "infant")


def contract_columns() -> list[Column[Any]]:
    """The contract's columns but for the keys (source, infant), in its order, with their meaning as comment."""
    return [
        Column(
            column.name,
            _TYPES[column.type],
            nullable=column.name not in _REQUIRED,
            comment=f"{column.meaning}{_UNITS[column.type]}",
        )
        for column in COLUMNS
        if column.name not in KEYS
    ]


def contract_names() -> list[str]:
    """Names of `contract_columns`, in order."""
    return [column.name for column in COLUMNS if column.name not in KEYS]


def beside_columns() -> list[Column[Any]]:
    """What the mapping says of an infant beside the contract, as JSON; `clinical.v_timeline` has it as columns."""
    return [
        Column(
            "attributes",
            JSON,
            nullable=False,
            server_default=text("'{}'"),
            comment="attribute -> value (docs/timeline.md lists them); what is not known has no entry",
        ),
        Column(
            "referral_links",
            JSON,
            nullable=False,
            server_default=text("'[]'"),
            comment="[referral, visit, rule, certainty] each; clinical.v_referral_link has them as rows",
        ),
    ]


def content_names() -> list[str]:
    """Names of all columns that say what is known of an infant: the contract's and those beside it."""
    return [*contract_names(), *(column.name for column in beside_columns())]
