"""The documentation as a web site, and its English."""

import json
import re
import subprocess
from itertools import count
from pathlib import Path

import pytest
from conftest import TEMPLATE, run

pytestmark = pytest.mark.slow

ROOT = TEMPLATE.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), TEMPLATE / "README.md"])
CODE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
TABLE_ROW = re.compile(r"^\|.*$", flags=re.MULTILINE)
HEADING = re.compile(r"^#+ .*$", flags=re.MULTILINE)
WORDS = {
    r"anew": "again",
    r"in the place of": "instead of",
    r"mend(s|ed|ing)?": "fix",
    r"tell(s|ing)? of": "report",
    r"trip(s|ped)? over": "fail because of",
    r"nonsense": "invalid options",
    r"utili[sz]e[sd]?": "use",
    r"in order to": "to",
}
"""Words that the documentation avoids, and what it says instead."""


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the commands that check documents."""
    run(ROOT, "make", "build/tools/installed")
    return ROOT / "build" / "tools" / "bin"


def prose(page: Path) -> str:
    """The running text of a page; code and tables are left out, line by line."""

    def blank(found: re.Match[str]) -> str:
        return "\n" * found[0].count("\n")

    text = page.read_text(encoding="utf-8")
    for pattern in (CODE, TABLE_ROW, HEADING):
        text = pattern.sub(blank, text)
    number = count()
    return re.sub(r"`[^`]*`", lambda _: f"code{next(number)}x", text)


def test_site_is_built_without_a_broken_link(tools: Path, tmp_path: Path) -> None:
    for name in ("docs", "zensical.toml"):
        run(ROOT, "cp", "-R", name, str(tmp_path))
    run(tmp_path, str(tools / "zensical"), "build", "--clean", "--strict")
    built = {page.name for page in (tmp_path / "build" / "site").iterdir() if page.is_dir()}
    assert {page.stem for page in ROOT.glob("docs/*.md")} - {"README"} <= built

    start = tmp_path / "docs" / "README.md"
    start.write_text(start.read_text() + "[nowhere](nowhere.md)\n")
    broken = subprocess.run(
        [tools / "zensical", "build", "--strict"], cwd=tmp_path, capture_output=True, check=False
    )
    assert broken.returncode != 0


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r'"(\w+\.md)"', (ROOT / "zensical.toml").read_text())
    assert sorted(listed) == sorted(page.name for page in ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_prose_passes_the_linter(tools: Path, page: Path, tmp_path: Path) -> None:
    file = tmp_path / page.name
    file.write_text(prose(page), encoding="utf-8")
    done = subprocess.run(
        [tools / "proselint", "check", "--config", ROOT / "proselint.json", "-o", "json", file],
        capture_output=True,
        text=True,
        check=False,
    )
    (result,) = json.loads(done.stdout)["result"].values()
    found = [f"{item['pos']}: {item['message']}" for item in result.get("diagnostics", [])]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_words_are_common_ones(page: Path) -> None:
    text = prose(page)
    for word, better in WORDS.items():
        found = re.search(rf"\b{word}\b", text, flags=re.IGNORECASE)
        assert not found, (
            f"line {text.count(chr(10), 0, found.start()) + 1}: {found[0]!r}: {better}"
        )
