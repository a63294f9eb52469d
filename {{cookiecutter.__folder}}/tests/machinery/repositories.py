"""Small repositories of tests, which launch takes for its own."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from launch.settings import project

REPOSITORY = Path(__file__).parents[2]


def make_repository(
    root: Path, entrypoints: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Make a repository named ``small`` with these entrypoints, and let launch take it."""
    (root / "entrypoints").mkdir(parents=True)
    for name, text in entrypoints.items():
        (root / "entrypoints" / f"{name}.py").write_text(text)
    (root / "src").symlink_to(REPOSITORY / "src")
    (root / "scripts").symlink_to(REPOSITORY / "scripts")
    (root / "pyproject.toml").write_text('[project]\nname = "small"\n')
    monkeypatch.setattr(project, "ROOT", root)
    monkeypatch.setattr(project, "OUT", root / "out")
    return root


def add_options(root: Path, job: str, *options: str) -> None:
    """Add options to a job; each is what ``add_argument`` takes, as it is written."""
    file = root / "entrypoints" / f"{job}.py"
    before, after = file.read_text().split("    return parser\n")
    added = "".join(f"    parser.add_argument({option})\n" for option in options)
    file.write_text(f"{before}{added}    return parser\n{after}")
