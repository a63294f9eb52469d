"""Secrets, wherever they are stored, appear in nothing that others see of an image or a job."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from conftest import PACKAGE, run
from launching import PROBE
from registry import images_of, need_engine
from test_image import image, index_with_password

pytestmark = [pytest.mark.slow, pytest.mark.docker]

PLACES = (
    ".env",
    f"src/{PACKAGE}/.env",
    f"src/{PACKAGE}/credentials.json",
    "entrypoints/local.py",
    "aws.env",
    "notebook",
    "home",
    "netrc",
    "environment",
    "build argument",
    "index",
)
SEEDS = {place: f"s3cr3t{number:02}Seed" for number, place in enumerate(PLACES)}
GIVEN = "s3cr3tGivenToTheJob"
"""By ``--env`` and as an argument: SageMaker has to be told, so that the request holds it."""


@pytest.fixture(scope="module")
def project(
    generated: Path, installed_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A repository in which secrets lie wherever a user may have put them."""
    need_engine()
    folder = Path(shutil.copytree(generated, tmp_path_factory.mktemp("seeded") / generated.name))
    (folder / "entrypoints" / "probe.py").write_text(PROBE.replace("PACKAGE", PACKAGE))
    (folder / "rows").mkdir()
    (folder / "rows" / "1.txt").write_text("1\n")
    with (folder / ".gitignore").open("a") as ignored:
        ignored.write("credentials.json\nlocal.py\n.venv\n")
    with (folder / "aws.env").open("a") as settings:
        settings.write(f"API_TOKEN={SEEDS['aws.env']}\n")
    for command in ("add --all", "commit --quiet --message=Settings"):
        run(folder, "git", *command.split())
    for place in PLACES[:4]:
        (folder / place).write_text(f"TOKEN = '{SEEDS[place]}'\n")
    notebook = folder / "notebooks" / "launch.ipynb"
    cells = json.loads(notebook.read_text())
    cells["cells"][-1]["outputs"] = [
        {"name": "stdout", "output_type": "stream", "text": [SEEDS["notebook"]]}
    ]
    notebook.write_text(json.dumps(cells))
    (folder / ".venv").symlink_to(installed_project / ".venv")
    with images_of(folder):
        yield folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with secrets in it, and a home with more."""
    home = tmp_path_factory.mktemp("home")
    (home / ".aws").mkdir()
    keys = (
        f"[default]\naws_access_key_id = {SEEDS['home']}\naws_secret_access_key = {SEEDS['home']}\n"
    )
    (home / ".aws" / "credentials").write_text(keys)
    (home / ".netrc").write_text(f"machine nowhere.invalid login me password {SEEDS['netrc']}\n")
    docker = os.environ.get("DOCKER_CONFIG", str(Path.home() / ".docker"))
    return {
        "HOME": str(home),
        "DOCKER_CONFIG": docker,
        "API_TOKEN": SEEDS["environment"],
        "AWS_SECRET_ACCESS_KEY": SEEDS["environment"],
        "PIP_INDEX_URL": index_with_password().replace("s3cr3t", SEEDS["index"]),
    }


@pytest.fixture(scope="module")
def built(project: Path, environment: Mapping[str, str]) -> str:
    """What the build prints."""
    option = f"API_TOKEN={SEEDS['build argument']}"
    return run(project, "scripts/build.sh", "--build-arg", option, **environment)


def found(seeds: Iterable[str], text: bytes) -> list[str]:
    return [seed for seed in seeds if seed.encode() in text]


def test_the_image_and_its_build_hold_none(project: Path, built: str, tmp_path: Path) -> None:
    assert found(SEEDS.values(), built.encode()) == []
    archive = tmp_path / "image.tar"
    run(project, "docker", "save", "--output", str(archive), image(project))
    # The tar of an image holds its layers and its settings as they are.
    saved = archive.read_bytes()
    assert next(project.glob("src/*/runtime/__init__.py")).read_bytes() in saved
    assert image(project).encode() in saved
    assert found(SEEDS.values(), saved) == []


@pytest.mark.parametrize("backend", ["local", "docker"])
def test_jobs_show_none(
    project: Path, environment: Mapping[str, str], built: str, backend: str
) -> None:
    assert built
    words: tuple[str, ...] = ("probe", "--input_path", "rows", "--more_path", "rows")
    words += ("--backend", backend, "--env", f"API_TOKEN={GIVEN}")
    seeds = [*SEEDS.values(), GIVEN]
    done = launch(project, environment, *words, "--output_path", f"out/{backend}")
    assert done.returncode == 0, done.stdout
    assert "arguments" in done.stdout
    record = (project / "out" / backend / "job.json").read_bytes()
    assert found(seeds, done.stdout.encode() + record) == []

    done = launch(project, environment, *words, "--do", "fail", "--api_key", GIVEN)
    assert done.returncode == 1
    assert '"api_key": "***"' in done.stdout
    assert "the last host failed" in done.stdout
    assert found(seeds, done.stdout.encode()) == []


def test_the_request_holds_what_it_was_given_only(
    project: Path, environment: Mapping[str, str]
) -> None:
    words = ("--input_path", "rows", "--more_path", "rows", "--env", f"API_TOKEN={GIVEN}", "--plan")
    done = launch(project, environment, "probe", *words)
    assert json.loads(done.stdout)["Environment"] == {"API_TOKEN": GIVEN}
    assert found(SEEDS.values(), done.stdout.encode()) == []


def launch(
    project: Path, environment: Mapping[str, str], *words: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [project / ".venv" / "bin" / "python", "-m", "launch", *words],
        cwd=project,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
