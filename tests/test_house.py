"""The rules of the house: what keeps it one house while rooms are added to it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import settings_document

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("cluster", "collectors", "engine", "pages", "api", "warehouse")
FRONT = (ROOT / "app.py", ROOT / "console.py")
SHUNNED_NAMES = {"utils", "common", "helpers", "managers", "services", "core", "misc"}
LONGEST_MODULE_LINES = 400


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def plain_modules(folder: str) -> list[Path]:
    return [p for p in sorted((ROOT / folder).glob("*.py")) if not p.name.startswith("_")]


@pytest.mark.parametrize(
    ("folder", "tests"),
    [
        ("warehouse", "warehouse"),
        ("cluster", "cluster"),
        ("collectors", "collectors"),
        ("engine", "engine"),
        ("engine/actions", "engine"),
        ("engine/healing", "engine/healing"),
        ("engine/policies", "engine"),
        ("engine/simulator", "engine/simulator"),
        ("engine/learning", "engine/learning"),
        ("engine/twin", "engine/twin"),
        ("engine/market", "engine/market"),
        ("engine/forecasts", "engine"),
        ("engine/kubernetes", "engine/kubernetes"),
        ("pages", "pages"),
        ("api", "api"),
    ],
)
def test_every_module_is_named_in_a_test_of_its_room(folder: str, tests: str) -> None:
    words = "\n".join(p.read_text() for p in (ROOT / "tests" / tests).rglob("*.py"))
    dotted = folder.replace("/", ".")
    room = "\n".join(p.read_text() for p in modules(folder.split("/")[0]))
    untested = [
        path.name
        for path in plain_modules(folder)
        if not re.search(rf"\b{path.stem}\b", words)
        # a part that its own room uses is tested through the room
        and not re.search(rf"from {dotted}(\.| import .*\b){path.stem}\b", room)
    ]
    assert not untested


@pytest.mark.parametrize("page", plain_modules("pages"), ids=lambda path: path.stem)
def test_each_page_has_its_test(page: Path) -> None:
    assert (ROOT / "tests" / "pages" / f"test_{page.stem}.py").exists()


def test_nothing_imports_a_page() -> None:
    pages = {f"pages.{page.stem}" for page in plain_modules("pages")}
    guilty = {
        str(path.relative_to(ROOT)): found
        for path in [*modules(*ROOMS), *FRONT]
        if (found := imported(path) & pages)
    }
    assert not guilty, "Dash runs page files itself; importing one registers its callbacks twice"


def test_the_front_door_is_imported_by_no_room() -> None:
    assert not [str(path) for path in modules(*ROOMS) if {"app", "console"} & imported(path)]


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [str(path) for path in modules(*ROOMS) if path.stem in SHUNNED_NAMES]


def test_no_module_grows_past_a_second_look() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*modules(*ROOMS, "tests", "benchmarks"), *FRONT]
        if (lines := len(path.read_text().splitlines())) > LONGEST_MODULE_LINES
        and path.name != "records.py"  # a list of all tables, read by looking things up
    }
    assert not long


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in [*modules(*ROOMS, "benchmarks"), *FRONT]
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_nothing_is_mocked_and_nothing_sleeps_in_tests() -> None:
    shunned = ("unittest.mock", "time.sleep")
    guilty = [
        str(path)
        for path in modules("tests")
        if any(name.startswith(shunned) for name in imported(path))
        or (path.name != "test_house.py" and "time.sleep(" in path.read_text())
    ]
    assert not guilty


def test_every_dependency_has_its_version_and_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    for wanted in project["dependencies"] + project["optional-dependencies"]["learn"]:
        line = next(line for line in text.splitlines() if f'"{wanted}"' in line)
        assert "==" in wanted, wanted
        assert "#" in line, f"{wanted} has no reason beside it"


def test_what_is_pinned_twice_is_pinned_alike() -> None:
    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", re.sub(r"\[.*\]", "", name)).lower()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    constraints = {
        normal(line.split("==")[0]): line.split("==")[1]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    for wanted in (wanted for group in groups for wanted in group):
        name, version = wanted.split("==")
        assert constraints.get(normal(name)) == version, wanted


def test_the_documentation_of_the_settings_is_what_the_code_says() -> None:
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == settings_document(), "run: make docs"


def test_every_benchmark_stands_in_the_table_of_results() -> None:
    table = (ROOT / "docs" / "benchmarks.md").read_text()
    missing = [p.name for p in modules("benchmarks") if f"benchmarks/{p.name}" not in table]
    assert not missing


def test_every_link_in_the_documents_leads_somewhere() -> None:
    dead = []
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)\)", document.read_text()):
            is_here = "://" not in target and not target.startswith("mailto:")
            if is_here and not (document.parent / target).exists():
                dead.append(f"{document.name}: {target}")
    assert not dead


def test_the_console_starts_without_torch() -> None:
    program = "import sys, app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
