"""Every error that this project raises has an exit code of its own meaning, and the operator's guide lists it."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from fhir_source.errors import IessError

PACKAGES = ("fhir_source", "fhir_mapping", "expectations", "warehouse", "surveillance", "pipeline", "synthetic")
GUIDE = Path(__file__).parents[2] / "docs" / "operator-guide.md"


def error_types() -> list[type[IessError]]:
    """Every concrete subclass, by exit code and name."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if "airflow" not in module.name.split(".") and "migrations" not in module.name:
                importlib.import_module(module.name)
    found: set[type[IessError]] = set()
    pending = [IessError]
    while pending:
        for kind in pending.pop().__subclasses__():
            found.add(kind)
            pending.append(kind)
    return sorted((kind for kind in found if kind.__module__ in _ours(kind)), key=lambda k: (k.exit_code, k.__name__))


def _ours(kind: type[IessError]) -> set[str]:
    return {kind.__module__} if kind.__module__.split(".")[0] in PACKAGES else set()


def guide_row(kind: type[IessError]) -> str:
    """The start of the row that the guide must have."""
    return f"| {kind.exit_code} | `{kind.__name__}` | {'yes' if kind.retriable else 'no'} |"


def test_each_error_is_in_the_guide() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    missing = [guide_row(kind) for kind in error_types() if guide_row(kind) not in guide]
    assert missing == []


def test_no_two_packages_share_a_code() -> None:
    """A number means one kind of trouble; a subclass may refine it within its package."""
    owners: dict[int, set[str]] = {}
    for kind in error_types():
        owners.setdefault(kind.exit_code, set()).add(kind.__module__.split(".")[0])
    shared = {code: names for code, names in owners.items() if len(names) > 1}
    assert shared == {}
