"""``--code`` runs an edit without building an image of it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import emulator
import pytest
from conftest import PACKAGE, SLUG, run
from launching import DATA, Launch

pytest_plugins = ["launching"]
pytestmark = [pytest.mark.slow, pytest.mark.docker]

ROWS = ("--input_path", DATA)
ENTRYPOINT = "entrypoints/gather.py"
HELPER = f"src/{PACKAGE}/shout.py"
"""A new file, which git does not know."""
IGNORED = f"src/{PACKAGE}/scratch.py"


@pytest.fixture
def tree(project: Path) -> Iterator[Path]:
    """The project, whose files are those of its commit again at the end."""
    head = run(project, "git", "rev-parse", "HEAD").strip()
    exclude = project / ".git" / "info" / "exclude"
    before = exclude.read_text()
    exclude.write_text(f"{before}\n{IGNORED}\n")
    (project / IGNORED).write_text("scratch = True\n")
    yield project
    (project / IGNORED).unlink()
    exclude.write_text(before)
    run(project, "git", "reset", "--quiet", "--hard", head)
    (project / HELPER).unlink(missing_ok=True)


def edit(tree: Path, text: str) -> None:
    """Let the job ``gather`` end each row with a text that a new module has."""
    file = tree / ENTRYPOINT
    edited = file.read_text().replace("file.read_bytes())", "file.read_bytes() + shout.TEXT)")
    edited = edited.replace("import runtime\n", "import runtime, shout\n")
    file.write_text(edited)
    (tree / HELPER).write_text(f"TEXT = {text!r}.encode()\n")


def head(tree: Path) -> str:
    return run(tree, "git", "rev-parse", "HEAD").strip()


def tags(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request["Tags"]}


def digests(record: Mapping[str, Any]) -> dict[str, str]:
    return {name: file["sha256"] for name, file in record["files"].items()}


class OnSagemaker:
    """Launches ``gather`` on SageMaker, and reads what it has written."""

    def __init__(self, launch: Launch, service: emulator.Emulator, aws: dict[str, str]) -> None:
        self.launch = launch
        self.service = service
        self.aws = aws

    def gather(self, run_name: str, *words: str) -> None:
        options = ("--backend", "sagemaker", "--run_name", run_name, *words)
        done = self.launch("gather", *ROWS, *options, env=self.aws)
        assert done.returncode == 0, done.stdout + done.stderr

    def read(self, run_name: str, name: str) -> bytes:
        return self.service.read(f"{SLUG}/runs/{run_name}/gather/parts/{name}")


class InDocker:
    """The same in containers on this machine."""

    def __init__(self, launch: Launch, tree: Path) -> None:
        self.launch = launch
        self.tree = tree

    def gather(self, run_name: str, *words: str) -> None:
        done = self.launch("gather", *ROWS, "--backend=docker", "--run_name", run_name, *words)
        assert done.returncode == 0, done.stdout + done.stderr

    def read(self, run_name: str, name: str) -> bytes:
        return (self.tree / "out" / run_name / "gather" / "parts" / name).read_bytes()


def check_loop(tree: Path, backend: OnSagemaker | InDocker) -> None:
    """Run a change per iteration, and compare the last one with the image of the same tree."""
    committed = head(tree)
    records = []
    for text in ("one", "two", "three"):
        edit(tree, text)
        backend.gather(text, "--code")
        assert backend.read(text, "1.txt") == f"1.txt\n{text}".encode()
        records.append(json.loads(backend.read(text, "job.json")))
        assert records[-1]["commit"].startswith(f"{committed}-")
        assert records[-1]["commit"].endswith("-dirty")
    assert len({record["commit"] for record in records}) == 3
    assert head(tree) == committed


@pytest.mark.usefixtures("image")
def test_a_change_per_iteration_on_sagemaker(
    launch: Launch,
    tree: Path,
    service: emulator.Emulator,
    aws: dict[str, str],
) -> None:
    backend = OnSagemaker(launch, service, aws)
    check_loop(tree, backend)
    requests = service.requests["CreateProcessingJob"]
    assert len({request["AppSpecification"]["ImageUri"] for request in requests}) == 1
    sent = tags(requests[-1])
    assert sent["commit"] == json.loads(backend.read("three", "job.json"))["commit"]
    uploaded = service.objects(f"{SLUG}/inputs/{sent['code']}/")
    assert f"{SLUG}/inputs/{sent['code']}/{HELPER}" in uploaded
    assert not [key for key in uploaded if key.endswith(IGNORED)]

    listed = json.loads(launch("list", "--json", env=aws).stdout)
    assert sent["commit"] in {entry["commit"] for entry in listed}
    shown = launch("show", "three", env=aws).stdout
    assert "--code" in shown
    edit(tree, "four")
    again = launch("again", "three", "--run_name", "four", env=aws)
    assert again.returncode == 0, again.stderr
    assert f"code: {sent['code'][:12]} (--code) → " in again.stderr
    assert backend.read("four", "1.txt") == b"1.txt\nfour"
    compared = launch("compare", "three", "four", env=aws)
    assert compared.returncode == 0, compared.stderr

    run(tree, "git", "add", HELPER, ENTRYPOINT)
    run(tree, "git", "commit", "--quiet", "--message", "Change")
    run(tree, "scripts/build.sh")
    run(tree, "scripts/push.sh", **service.environment())
    backend.gather("image")
    made = [json.loads(backend.read(name, "job.json")) for name in ("four", "image")]
    assert digests(made[0]) == digests(made[1])
    assert made[1]["commit"] == head(tree)
    backend.gather("committed", "--code")
    assert json.loads(backend.read("committed", "job.json"))["commit"] == head(tree)


@pytest.mark.usefixtures("image")
def test_a_change_per_iteration_in_docker(launch: Launch, tree: Path) -> None:
    backend = InDocker(launch, tree)
    check_loop(tree, backend)
    run(tree, "scripts/build.sh")
    backend.gather("image")
    made = [json.loads(backend.read(name, "job.json")) for name in ("three", "image")]
    assert digests(made[0]) == digests(made[1])
    assert made[0]["commit"] == made[1]["commit"]


@pytest.mark.usefixtures("small_pipeline")
def test_all_steps_of_a_pipeline_run_the_code(
    launch: Launch, tree: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    earlier = set(service.job_requests)
    edit(tree, "one")
    words = ("pipeline", "--backend", "sagemaker", "--code")
    done = launch(*words, env=aws)
    assert done.returncode == 0, done.stdout + done.stderr
    sent = [tags(each) for name, each in service.job_requests.items() if name not in earlier]
    assert len(sent) == 3
    assert len({each["code"] for each in sent}) == 1
    again = launch(*words, env=aws)
    assert again.stdout.count("(from the cache)") == 3
    edit(tree, "two")
    changed = launch(*words, env=aws)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert "(from the cache)" not in changed.stdout
    deployed = launch("deploy", "--code", env=aws)
    assert deployed.returncode == 2
    assert "`make image push`" in deployed.stderr
    in_docker = launch("pipeline", "--backend", "docker", "--code", "--run_name", "r")
    assert in_docker.returncode == 0, in_docker.stdout + in_docker.stderr
    assert (tree / "out/r/gather/parts/1.txt").read_text() == "1.txt\ntwo"


@pytest.mark.usefixtures("image")
def test_what_cannot_run_is_rejected_before_anything_is_uploaded(
    launch: Launch, tree: Path, service: emulator.Emulator, aws: dict[str, str]
) -> None:
    words = ("gather", *ROWS, "--backend", "sagemaker", "--code")
    (tree / HELPER).write_text("TEXT = (\n")
    rejected = launch(*words, env=aws)
    assert rejected.returncode == 2
    assert HELPER in rejected.stderr
    (tree / HELPER).unlink()
    lock = tree / "poetry.lock"
    lock.write_text(lock.read_text() + "# edited\n")
    rejected = launch(*words, env=aws)
    assert rejected.returncode == 2
    assert "`make image push`" in rejected.stderr
    rejected = launch(*words[:-2], "docker", "--code")
    assert rejected.returncode == 2
    assert "`make image`" in rejected.stderr
    assert not service.objects()
    assert not service.requests["CreateProcessingJob"]
