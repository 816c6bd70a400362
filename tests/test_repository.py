"""What must hold of every committed file, whatever it is about."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]
#: A module fits on a few screens; above this, it holds two ideas.
MOST_LINES = 350
# Single characters stand in brackets so that these lines don't match themselves.
_MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:wor[k]/|hom[e]/\w|User[s]/\w|roo[t]/|tmp/[t]eam)")
_REGISTRY = re.compile(
    r"py[p]i\.org|python[h]osted|index-ur[l]|find-link[s]|trusted-hos[t]|registry\.np[m]", re.IGNORECASE
)


def committed() -> list[Path]:
    """Committed files; in a folder that is no checkout, every file of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    hidden = {".venv", ".git", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)]


def texts() -> Iterator[tuple[str, str]]:
    for path in committed():
        content = path.read_bytes()
        if b"\0" not in content[:8000] and not path.name.endswith(".gz"):
            yield str(path.relative_to(ROOT)), content.decode("utf-8")


def modules() -> list[Path]:
    roots = tuple(name for name in PACKAGES if "." not in name)
    return [path for path in committed() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in roots]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("a path of somebody's machine", _MACHINE_PATH), ("a package registry", _REGISTRY)],
)
def test_no_file_names(what: str, pattern: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        # `make lock` compiles without index lines; saying so names the option.
        if pattern.search(line.replace("--no-emit-index-url", ""))
    ]
    assert not found, f"{what} is named in {found}"


def test_the_patterns_find_what_they_are_for() -> None:
    assert _MACHINE_PATH.search(f"see {'/'}home/anna/notes")
    assert _MACHINE_PATH.search(f"'{'/'}work/main'")
    assert not _MACHINE_PATH.search("docs/home/page and ../root/x and /tmp/iess")
    assert _REGISTRY.search(f"https://pypi{'.'}org/simple")
    assert _REGISTRY.search(f"--extra-index{'-'}url")


def test_modules_fit_on_a_few_screens() -> None:
    # A migration is a record of what was done, and is never edited again.
    living = [path for path in modules() if path.parent.name != "versions"]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in living}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in modules()
        if path.read_text(encoding="utf-8").strip() and not ast.get_docstring(ast.parse(path.read_bytes()))
    ]
    assert silent == []


def test_every_package_is_installed() -> None:
    found = {".".join(path.relative_to(ROOT).parent.parts) for path in modules() if path.name == "__init__.py"}
    assert found == set(PACKAGES)
    assert {str(path.relative_to(ROOT).parts[0]) for path in modules()} == {name.split(".")[0] for name in PACKAGES}


def test_every_data_file_of_a_package_is_installed() -> None:
    patterns = PYPROJECT["tool"]["setuptools"]["package-data"]["*"]
    roots = {name.split(".")[0] for name in PACKAGES}
    left_out = [
        str(path.relative_to(ROOT))
        for path in committed()
        if path.relative_to(ROOT).parts[0] in roots
        and path.suffix != ".py"
        and not any(path.match(pattern) for pattern in patterns)
        and path.name != ".airflowignore"
    ]
    assert left_out == []


def test_every_typed_package_says_so() -> None:
    for name in PACKAGES:
        if "." not in name:
            assert (ROOT / name / "py.typed").exists()
