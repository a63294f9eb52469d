"""The environment: its Python, its packages, and the package index."""

import base64
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import loopback
import pytest
from conftest import JOBS, Bake, fails, link_environment, run, runs
from packaging.requirements import Requirement
from registry import images_of, need_engine

pytestmark = pytest.mark.slow

PASSWORD = "pa55w0rd-of-the-team"  # noqa: S105


@pytest.fixture
def fresh(generated: Path, installed_project: Path, tmp_path: Path) -> Path:
    """A project, in a folder with a space, in which only the tools are installed: to save time."""
    folder = Path(shutil.copytree(generated, tmp_path / "a folder" / generated.name))
    link_environment(installed_project / ".tools", folder / ".tools")
    return folder


@pytest.fixture
def project(fresh: Path) -> Path:
    """The same with an environment, which has few packages for the same reason."""
    run(fresh, "make", "install", "GROUPS=launch")
    return fresh


def library(python: Path) -> Path:
    """The folder of an interpreter's standard library."""
    return Path(
        run(Path(), str(python), "-c", "import os; print(os.path.dirname(os.__file__))").strip()
    )


def packages(project: Path) -> set[str]:
    """The names of the installed distributions, normalized."""
    found = next((project / ".venv" / "lib").iterdir()) / "site-packages"
    return {info.name.split("-")[0].lower() for info in found.glob("*.dist-info")}


@pytest.fixture
def other_python(tmp_path: Path) -> Path:
    """Another installation of Python, made of the files of the one that runs the tests."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = tmp_path / "other"
    (prefix / "bin").mkdir(parents=True)
    stdlib = prefix / "lib" / name
    stdlib.mkdir(parents=True)
    for entry in Path(sysconfig.get_path("stdlib")).iterdir():
        if entry.name not in ("os.py", "site-packages", "dist-packages"):
            (stdlib / entry.name).symlink_to(entry)
    shutil.copy(os.__file__, stdlib / "os.py")
    python = prefix / "bin" / name
    shutil.copy(os.path.realpath(sys.executable), python)
    return python


def test_after_run_every_launch_works(fresh: Path) -> None:
    run(fresh, "make", "run")
    python = str(fresh / ".venv" / "bin" / "python")
    run(fresh, python, "-m", "launch", JOBS[0], "--plan", AWS_ACCESS_KEY_ID="x")
    run(fresh, python, "-m", "launch", "clean")
    assert "boto3" in packages(fresh)
    assert "pytest" not in packages(fresh)
    (found,) = runs(fresh)
    assert sorted(job.name for job in found.iterdir()) == sorted(JOBS)


def test_what_was_installed_stays_when_less_is_needed(fresh: Path) -> None:
    run(fresh, "make", "install", "GROUPS=notebook")
    (fresh / "pyproject.toml").touch()
    # Whatever it finds still missing.
    subprocess.run(["make", "doctor"], cwd=fresh, stdout=subprocess.DEVNULL, check=False)
    assert {"boto3", "jupyterlab"} <= packages(fresh)
    assert run(fresh, "make", "install") == "make: Nothing to be done for 'install'.\n"


def test_groups_without_launch_have_what_make_run_needs(fresh: Path) -> None:
    run(fresh, "make", "install", "GROUPS=notebook")
    assert {"boto3", "jupyterlab"} <= packages(fresh)


def test_a_python_that_the_project_does_not_allow_is_named(project: Path) -> None:
    before = packages(project)
    settings = project / "pyproject.toml"
    python = project / ".tools" / "bin" / "python"
    version = run(project, str(python), "-c", "import platform; print(platform.python_version())")
    minor = ".".join(version.split(".")[:2])
    required = f"!={minor}.*,>=3.11"
    settings.write_text(
        re.sub("(?m)^requires-python = .*", f'requires-python = "{required}"', settings.read_text())
    )
    for target in ("install", "run", "lock"):
        words = fails(project, "make", target)
        assert version.strip() in words
        assert f'requires-python = "{required}"' in words
        assert "make PYTHON=python3." in words
        assert f"make PYTHON=python{minor} " not in words
    assert packages(project) == before


def minor_version(project: Path) -> int:
    """The minor version of the Python that the tools have."""
    code = "import sys; print(sys.version_info.minor)"
    return int(run(project, ".tools/bin/python", "-c", code))


def require_python(project: Path, required: str) -> None:
    settings = project / "pyproject.toml"
    line = f'requires-python = "{required}"'
    settings.write_text(re.sub("(?m)^requires-python = .*", line, settings.read_text()))


@pytest.mark.parametrize(
    "line", ['requires-python = "^3.11"', 'requires-python = "3.11"', "requires-python = 3.11", ""]
)
def test_a_range_of_python_that_cannot_be_read_is_one_clear_line(fresh: Path, line: str) -> None:
    settings = fresh / "pyproject.toml"
    settings.write_text(re.sub("(?m)^requires-python = .*", line, settings.read_text()))
    words = fails(fresh, "make", "install")
    assert 'pyproject.toml: requires-python must be a range such as ">=' in words
    assert "Traceback" not in words


@pytest.mark.parametrize(
    ("required", "python"),
    [
        (">=3.{minor}.99", "python3.{next}"),
        ("==3.{minor}.99", "/path/to/python3"),
        ("==3.{next}.1", "/path/to/python3"),
        (">=3.99", "/path/to/python3"),
    ],
)
def test_only_a_python_that_would_do_is_proposed(fresh: Path, required: str, python: str) -> None:
    minor = minor_version(fresh)
    numbers = {"minor": minor, "next": minor + 1}
    require_python(fresh, required.format(**numbers))
    words = fails(fresh, "make", "install")
    assert f"make PYTHON={python.format(**numbers)} install" in words


def test_after_a_change_of_the_range_the_lock_is_asked_for(project: Path) -> None:
    require_python(project, f"==3.{minor_version(project)}.*")
    assert "make lock" in fails(project, "make", "install")


def test_an_empty_python_is_as_none(project: Path) -> None:
    made = (project / ".tools" / "installed").stat().st_mtime_ns
    run(project, "make", "install", "PYTHON=")
    assert (project / ".tools" / "installed").stat().st_mtime_ns == made


def test_a_name_of_a_job_is_never_read_by_the_shell(installed_project: Path) -> None:
    words = fails(installed_project, "make", "job", "NAME=a'b")
    assert "NAME=evaluate_model" in words


def test_another_python_is_used_from_then_on(project: Path, other_python: Path) -> None:
    run(project, "make", "lock", f"PYTHON={other_python}")
    for folder in (".tools", ".venv"):
        assert library(project / folder / "bin" / "python") == library(other_python)
    run(project, "make", "install")
    assert "boto3" in packages(project)

    made = (project / ".tools" / "installed").stat().st_mtime_ns
    run(project, "make", "install")
    run(project, "make", "install", f"PYTHON={other_python}")
    assert (project / ".tools" / "installed").stat().st_mtime_ns == made

    (project / "tools" / "poetry.txt").touch()
    run(project, "make", "install")
    assert library(project / ".tools" / "bin" / "python") == library(other_python)


def test_a_python_that_is_not_there_changes_nothing(project: Path) -> None:
    words = fails(project, "make", "install", "PYTHON=/nowhere/python3")
    assert "/nowhere/python3" in words
    run(project, "make", "install")
    assert "boto3" in packages(project)


def test_an_environment_of_a_python_that_is_gone_is_made_again(
    fresh: Path, other_python: Path
) -> None:
    run(fresh, "make", "install", "GROUPS=launch", f"PYTHON={other_python}")
    shutil.rmtree(other_python.parents[1])
    run(fresh, "make", "install")
    assert library(fresh / ".venv" / "bin" / "python").exists()
    assert "boto3" in packages(fresh)
    assert "pytest" not in packages(fresh)


@dataclass
class Index:
    """A package index on loopback that asks for a password.

    It has one distribution of its own, and an old version of one that the public index has, too.
    """

    name: str
    public: str
    address: str = ""

    def __post_init__(self) -> None:
        self.files = {
            f"{name}-{version}-py3-none-any.whl": wheel(name, version)
            for name, version in ((self.name, "1.0"), (self.public.replace("-", "_"), "0.0.1"))
        }

    def page(self, project: str) -> bytes | None:
        links = [
            f'<a href="/files/{file}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
            for file, content in self.files.items()
            if file.split("-")[0].replace("_", "-") == project
        ]
        return "\n".join(links).encode() if links else None

    def answer(self, path: str) -> tuple[str, bytes] | None:
        match path.strip("/").split("/"):
            case ["simple", project]:
                page = self.page(project)
                return ("text/html", page) if page else None
            case ["files", file] if file in self.files:
                return "application/octet-stream", self.files[file]
        return None


def wheel(name: str, version: str) -> bytes:
    """A wheel that is the same, byte for byte, each time: Poetry remembers its hash."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": "ANSWER = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return content.getvalue()


@pytest.fixture
def index(project: Path) -> Iterator[Index]:
    listed = (project / "pyproject.toml").read_text()
    first = re.search(r'(?m)^dependencies = \[\s*"(.*)"', listed)
    assert first
    index = Index("team_things", Requirement(first[1]).name)
    allowed = "Basic " + base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != allowed:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="tests"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            kind, content = index.answer(self.path) or ("text/html", b"")
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            pass

    with loopback.serve(Handler) as address:
        index.address = f"{address}/simple"
        yield index


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """A home whose ``.netrc`` has the password; the rest is as it was."""
    folder = tmp_path / "home"
    folder.mkdir()
    netrc = folder / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login somebody password {PASSWORD}\n")
    netrc.chmod(0o600)
    for shared in (".cache", ".config", ".docker", ".pyenv", ".local"):
        if (Path.home() / shared).exists():
            (folder / shared).symlink_to(Path.home() / shared)
    return {"HOME": str(folder)}


@pytest.mark.docker
def test_a_private_index_with_a_password_serves_lock_install_and_image(
    project: Path, index: Index, home: dict[str, str]
) -> None:
    need_engine()
    with (project / "pyproject.toml").open("a") as settings:
        settings.write(
            f'\n[[tool.poetry.source]]\nname = "team"\nurl = "{index.address}"\n'
            'priority = "explicit"\n'
        )
    run(project, ".tools/bin/poetry", "add", "--lock", "--source", "team", "team-things", **home)
    run(project, "make", "lock", **home)
    assert PASSWORD not in (project / "poetry.lock").read_text()
    run(project, "git", "commit", "--quiet", "--all", "--message", "Private index")

    words = fails(project, "make", "install", HOME=str(project))
    assert index.address in words
    assert ".netrc" in words
    run(project, "make", "install", **home)
    code = "import team_things; print(team_things.ANSWER)"
    assert run(project, ".venv/bin/python", "-c", code) == "42\n"
    assert index.public in packages(project)

    with images_of(project):
        run(project, "scripts/build.sh", "--network=host", **home)
        stamp = run(project, "scripts/stamp.sh").strip()
        image = f"{project.name}:{stamp}"
        python = ("docker", "run", "--rm", "--entrypoint", "python", image, "-c", code)
        assert run(project, *python) == "42\n"
        archive = project.parent / "image.tar"
        run(project, "docker", "save", "--output", str(archive), image)
        saved = archive.read_bytes()
        assert b"team_things" in saved
        assert PASSWORD.encode() not in saved


def test_poetry_adds_a_dependency_as_typed(fresh: Path) -> None:
    """Also where the index lacks what Poetry's own way of asking needs."""
    run(fresh, ".tools/bin/poetry", "add", "--lock", "--group", "dev", "colorama")
    run(fresh, ".tools/bin/poetry", "check", "--lock")
    assert "colorama" in (fresh / "pyproject.toml").read_text()


@pytest.mark.parametrize("tool", ["uv", "poetry", "audit", "cruft"])
def test_every_tool_is_installed_by_hash(fresh: Path, tool: str) -> None:
    lock = fresh / "tools" / f"{tool}.txt"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", lock.read_text()))
    target = {"audit": ".tools/audit/installed", "cruft": ".tools/cruft/installed"}
    words = fails(fresh, "make", target.get(tool, ".tools/installed"))
    assert "hash" in words.lower()


def test_locks_of_the_tools_follow_what_is_asked_for(fresh: Path) -> None:
    """Versions that still fit stay, and no file says which index they come from."""
    locks = {file: file.read_text() for file in sorted((fresh / "tools").glob("*.txt"))}
    run(fresh, "make", "lock")
    assert {file: file.read_text() for file in locks} == locks
    assert run(fresh, "git", "status", "--porcelain") == ""
    assert not [file.name for file in locks if "://" in file.read_text()]

    with (fresh / "tools" / "audit.in").open("a") as asked:
        asked.write("colorama==0.4.5\n")
    run(fresh, "make", "lock")
    changed = {file.name for file, text in locks.items() if file.read_text() != text}
    assert changed == {"audit.txt"}
    assert re.search(
        r"(?m)^colorama==0\.4\.5 \\\n +--hash=", (fresh / "tools/audit.txt").read_text()
    )


def test_an_upgrade_takes_the_newest_versions_that_are_allowed(fresh: Path) -> None:
    asked, locked = fresh / "tools" / "audit.in", fresh / "tools" / "audit.txt"
    text = asked.read_text()
    asked.write_text(f"{text}colorama==0.4.5\n")
    run(fresh, "make", "lock")
    asked.write_text(f"{text}colorama\n")
    run(fresh, "make", "lock")
    assert "\ncolorama==0.4.5 " in locked.read_text()
    run(fresh, "make", "upgrade")
    assert "\ncolorama==0.4.6 " in locked.read_text()
    run(fresh, ".tools/bin/poetry", "check", "--lock")


def test_without_a_link_to_the_template_an_update_says_what_to_do(fresh: Path) -> None:
    words = fails(fresh, "make", "update")
    assert ".cruft.json" in words
    assert "link" in words


def test_python_of_the_image_is_one_that_the_project_allows(bake: Bake) -> None:
    project = bake()
    version = (project / ".python-version").read_text().strip()
    required = re.search('(?m)^requires-python = "(.*)"', (project / "pyproject.toml").read_text())
    assert required
    assert Requirement(f"python{required[1]}").specifier.contains(version)
