"""The one-way order of the packages, held by import-linter's contracts in pyproject.toml."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(*sys.argv[1:], no_cache=True))"


def lint(config: Path) -> subprocess.CompletedProcess[str]:
    # A process of its own: the linter imports the packages by name, and must not see what other tests imported.
    return subprocess.run(
        [sys.executable, "-c", LINT, str(config)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_contracts_are_kept() -> None:
    result = lint(ROOT / "pyproject.toml")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_broken_contract_is_noticed(tmp_path: Path) -> None:
    config = tmp_path / "importlinter.ini"
    config.write_text(
        "[importlinter]\nroot_packages =\n    fhir_source\n    fhir_mapping\n\n"
        "[importlinter:contract:1]\nname = turned round\ntype = layers\nlayers =\n    fhir_source\n    fhir_mapping\n"
    )
    result = lint(config)
    assert result.returncode != 0
    assert "turned round" in result.stdout


def test_every_package_has_its_place_in_the_order() -> None:
    packages = {name for name in CONFIGURATION["setuptools"]["packages"] if "." not in name}
    contracts = CONFIGURATION["importlinter"]["contracts"]
    layers = {name.strip() for layer in contracts[0]["layers"] for name in layer.split("|")}
    assert set(CONFIGURATION["importlinter"]["root_packages"]) == packages
    # The generator stands beside the flow: what it may import, and who may import it, are contracts of their own.
    assert packages - layers == {"synthetic"}


def test_great_expectations_and_airflow_are_not_imported_with_the_package() -> None:
    """Great Expectations costs seconds and Airflow more: only what runs them may pay for it."""
    modules = "expectations.gate, expectations.pages, expectations.quality, expectations.completeness"
    code = f"import sys, {modules}; sys.exit('great_expectations' in sys.modules or 'airflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
