"""An output leads to its commit, and the commit to the same image."""

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import emulator
import pytest
from conftest import SLUG, run
from launching import DATA

pytestmark = [pytest.mark.docker, pytest.mark.slow]
pytest_plugins = ["launching"]

Launch = Callable[..., subprocess.CompletedProcess[str]]

LABEL = "org.opencontainers.image.revision"


def contents(image: str, folder: Path) -> dict[str, tuple[object, ...]]:
    """What an image holds: kind, mode, owner, target, contents, and the times of our files.

    Older engines give folders that they copy the time of the build.
    """
    archive = folder / "image.tar"
    container = run(folder, "docker", "create", image, "true").strip()
    run(folder, "docker", "export", "--output", str(archive), container)
    run(folder, "docker", "rm", container)
    found: dict[str, tuple[object, ...]] = {}
    with tarfile.open(archive) as members:
        for member in members:
            file = members.extractfile(member) if member.isfile() else None
            digest = hashlib.sha256(file.read()).hexdigest() if file else ""
            ours = member.name.startswith("opt/venv") or (member.name.startswith("app") and file)
            time = member.mtime if ours else None
            owner = member.uid, member.gid
            found[member.name] = (member.type, member.mode, *owner, member.linkname, digest, time)
    archive.unlink()
    return found


def labels(image: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        run(Path(), "docker", "image", "inspect", "--format", "{{json .Config.Labels}}", image)
    )
    return found


def source(image: str, folder: Path) -> dict[str, bytes]:
    """The files of the project that an image holds, by their path in the repository."""
    container = run(folder, "docker", "create", image, "true").strip()
    run(folder, "docker", "cp", f"{container}:/app", str(folder / "app"))
    run(folder, "docker", "rm", container)
    files = [file for file in (folder / "app").rglob("*") if file.is_file()]
    return {file.relative_to(folder / "app").as_posix(): file.read_bytes() for file in files}


def tracked(project: Path, commit: str) -> dict[str, bytes]:
    """What a commit holds of what enters the image."""
    words = ["git", "ls-tree", "-r", "--name-only", commit, "entrypoints", "src"]
    names = run(project, *words).split()
    show = {name: ["git", "show", f"{commit}:{name}"] for name in names}
    return {name: subprocess.check_output(words, cwd=project) for name, words in show.items()}


@pytest.fixture
def rebuilt(project: Path, image: str, tmp_path: Path) -> Iterator[str]:
    """The image of the same commit, made again from a clone and from nothing."""
    clone = tmp_path / "elsewhere" / project.name
    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    name = f"again-{image}"
    run(clone, "scripts/build.sh", "--no-cache", "--tag", name)
    yield name
    run(clone, "docker", "image", "rm", name)  # the other one of this commit is still needed


def test_an_output_leads_to_its_source(
    launch: Launch, project: Path, service: emulator.Emulator, aws: dict[str, str], tmp_path: Path
) -> None:
    words = ("probe", "--input_path", DATA, "--backend", "sagemaker")
    assert launch(*words, "--run_name", "r", env=aws).returncode == 0
    prefix = f"{SLUG}/runs/r/probe/seen"

    record = json.loads(service.read(f"{prefix}/job.json"))
    address = service.requests["CreateProcessingJob"][0]["AppSpecification"]["ImageUri"]
    wanted = {"repositoryName": SLUG, "imageIds": [{"imageTag": record["commit"]}]}
    (image,) = service.client("ecr").describe_images(**wanted)["imageDetails"]
    assert address.endswith(f"@{image['imageDigest']}")
    pulled = f"{service.images.address}/{SLUG}@{image['imageDigest']}"
    assert labels(pulled)[LABEL] == record["commit"]
    assert source(pulled, tmp_path) == tracked(project, record["commit"])

    assert (record["job"], record["host"], record["hosts"]) == ("probe", "algo-1", 1)
    assert record["started"] <= record["finished"]
    assert record["arguments"]["output_path"] == "/opt/ml/processing/output/seen"
    assert "python" in record["versions"]


def test_a_commit_leads_to_the_same_image_again(
    project: Path, image: str, rebuilt: str, tmp_path: Path
) -> None:
    first, second = contents(image, tmp_path), contents(rebuilt, tmp_path)
    differing = {name for name in first.keys() | second if first.get(name) != second.get(name)}
    assert not differing
    assert source(rebuilt, tmp_path) == tracked(project, labels(rebuilt)[LABEL])
