"""Which rules timelines were made by: when they change, every infant is to be mapped again."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

    from fhir_mapping.codes import Codes
    from fhir_mapping.model import MappingSettings

#: What differs from pull to pull, and is no rule.
_NO_RULES = ("source", "fhir_version", "as_of", "local_codes")


def mapping_version(settings: MappingSettings, codes: Codes) -> str:
    """16 hex digits over this package's code and tables, the value sets (a site's own too) and the settings."""
    told = {name: value for name, value in sorted(asdict(settings).items()) if name not in _NO_RULES}
    return hashlib.sha256(f"{_package()} {codes.version} {told}".encode()).hexdigest()[:16]


@cache
def _package() -> str:
    digest = hashlib.sha256()
    for name, content in _files(resources.files("fhir_mapping"), ""):
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda found: found.name):
        if item.is_dir():
            yield from _files(item, f"{prefix}{item.name}/")
        elif item.name.endswith((".py", ".csv")):
            yield f"{prefix}{item.name}", item.read_bytes()
