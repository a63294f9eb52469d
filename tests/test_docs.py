"""The documentation names only existing files, targets and messages."""

import re
import shutil
from pathlib import Path

import commands
import messages
import pytest
from conftest import TEMPLATE
from pytest_cookies.plugin import Cookies

ROOT = TEMPLATE.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

OTHERS_MESSAGES = {
    "pyproject.toml changed significantly since poetry.lock was last generated",  # Poetry
    "Cannot connect to the Docker daemon",
}


PROJECT_README = TEMPLATE / "README.md"
PAGES = [*DOCUMENTS, *sorted(ROOT.glob(".github/*.md")), PROJECT_README]
OF_THE_TEMPLATE = {
    *(f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "PULL_REQUEST_TEMPLATE", "SECURITY")),
    *("adapt.md", "design_decisions.md", "reliability.md", "scale.md", "transcript.md"),
}
"""Pages that also name targets of the template's own Makefile, as does the README here."""
HISTORY = {ROOT / "CHANGELOG.md", ROOT / "docs" / "update_0_2.md"}
"""Pages that name what was removed."""
ANOTHER_MODEL = ROOT / "tests" / "another_model"


def _name(page: Path) -> str:
    return f"{page.parent.name}/{page.name}"


each_page = pytest.mark.parametrize("page", PAGES, ids=_name)
each_present_page = pytest.mark.parametrize("page", sorted({*PAGES} - HISTORY), ids=_name)


def read(page: Path) -> str:
    return re.sub(r"\{\{ (\S+) \}\}", r"{{\1}}", page.read_text(encoding="utf-8"))


def targets(makefile: Path) -> set[str]:
    return set(re.findall(r"^\.PHONY: (\S+)", makefile.read_text(), flags=re.MULTILINE))


@pytest.fixture(scope="module")
def projects(
    generated: Path, cookies_session: Cookies, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """The generated project, and one with the jobs of ``docs/another_model.md``."""
    if not ANOTHER_MODEL.exists():
        return [generated]
    (package,) = (ANOTHER_MODEL / "src").iterdir()
    result = cookies_session.bake({"project_name": package.name.replace("_", " ").title()})
    other = Path(shutil.copytree(result.project_path, tmp_path_factory.mktemp("another") / "model"))
    shutil.rmtree(other / "entrypoints")
    shutil.copytree(ANOTHER_MODEL, other, dirs_exist_ok=True)
    return [generated, other]


@pytest.fixture(scope="module")
def known_files(projects: list[Path]) -> set[str]:
    return set.union(*map(commands.tree, (ROOT, TEMPLATE, *projects)))


@pytest.fixture(scope="module")
def written(generated: Path) -> set[str]:
    """What code may name a folder: its strings that are one word."""
    return {text for text in messages.in_code(generated) if text.isalpha()}


@pytest.fixture(scope="module")
def parsers(projects: list[Path]) -> list[commands.Parsers]:
    return [commands.Parsers(project) for project in projects]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", text):
        assert (document.parent / link).exists(), link


@each_page
def test_targets_exist(page: Path, generated: Path) -> None:
    known = targets(generated / "Makefile")
    if page.name in OF_THE_TEMPLATE or page == ROOT / "README.md":
        known |= targets(ROOT / "Makefile")
    assert commands.targets(read(page)) <= known


# The following tests also read what belongs to the example: its jobs, options and files. They are
# not among the fast ones, which must pass with another example before the pages name its jobs.


@pytest.mark.slow
@each_present_page
def test_files_exist(page: Path, known_files: set[str], written: set[str]) -> None:
    assert commands.missing_files(read(page), known_files, written) == set()


@pytest.mark.slow
@each_present_page
def test_options_exist(page: Path, parsers: list[commands.Parsers]) -> None:
    known = set.union(*commands.OTHER_PROGRAMS.values(), *(each.options() for each in parsers))
    assert commands.options(read(page)) <= known | commands.EXAMPLES


@pytest.mark.slow
@each_present_page
def test_commands_are_accepted(page: Path, parsers: list[commands.Parsers]) -> None:
    found = commands.launches(read(page), parsers[0].verbs)
    rejected = [each.errors(found) for each in parsers]
    assert {
        command: error
        for command, error in rejected[0].items()
        if all(command in r for r in rejected)
    } == {}


@pytest.mark.slow
def test_mistakes_are_found(
    projects: list[Path], known_files: set[str], written: set[str], parsers: list[commands.Parsers]
) -> None:
    (first, *_), launch = parsers[0].jobs, parsers[0]
    known = targets(projects[0] / "Makefile")
    assert commands.targets("`make instal`\n```\nmake image psh\n```\n") - known == {
        "instal",
        "psh",
    }
    named = ("launch/nothing.py", "lanch/request.py", "scripts/biuld.sh", "nothing.py", "notebook/")
    for path in named:
        assert commands.missing_files(f"see `{path}`", known_files, written) == {path}
    assert (
        commands.missing_files("`launch.toml`, `scripts/`, `owner/name`, `out/run`", known_files)
        == set()
    )
    assert commands.options("`--backend local`, `--bakend`") - launch.options() == {"--bakend"}
    page = f"""
`.venv/bin/python -m launch {first} --backend local`, `pipeline --from {first}` and `logs NAME`
```
.venv/bin/python -m launch {first} --bakend local
.venv/bin/python -m launch {first} --backend nowhere
.venv/bin/python -m launch list --limit none
.venv/bin/python -m launch lst
.venv/bin/python -m launch clean --all
.venv/bin/python -m launch again NAME --bakend local
.venv/bin/python -m launch again NAME --backend docker
```
"""
    found = commands.launches(page, launch.verbs)
    assert list(launch.errors(found)) == [
        f"{first} --bakend local",
        f"{first} --backend nowhere",
        *("list --limit none", "lst", "clean --all", "again NAME --bakend local"),
    ]


def test_tree_of_the_readme_is_the_tree(generated: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^[├└]── ([\w.-]+)", text, flags=re.MULTILINE)
    found = {path.name for path in generated.iterdir()}
    assert set(named) <= found
    assert {name for name in found if not name.startswith(".")} <= set(named) | {"poetry.toml"}


def test_readme_of_a_project_explains_every_file_of_launch(generated: Path) -> None:
    text = (generated / "README.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(launch/[\w./]+)`", text))
    package = ""
    for row in re.findall(r"^\|(.*?)\|(.*?)\|", text, flags=re.MULTILINE):
        if named := re.search(r"`(launch/(?:\w+/)?)`", row[0]):
            package = named[1]
        explained |= {package + file for file in re.findall(r"`(\w+\.py)`", row[1])}
    explained |= {f"{name}__init__.py" for name in explained if name.endswith("/")}
    files = (generated / "launch").rglob("*.py")
    assert {path.relative_to(generated).as_posix() for path in files} <= explained


def test_messages_are_those_of_the_code(generated: Path) -> None:
    machinery, _ = messages.documented()
    assert machinery
    said = messages.in_code(generated)
    for message in set(machinery) - OTHERS_MESSAGES:
        assert any(message in text for text in said), message
