"""The workflows of the template and of generated repositories are safe and pinned."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import registry
import yaml
from conftest import SLUG, TEMPLATE, run

ROOT = TEMPLATE.parent
SCRIPTS = Path(sys.executable).parent
WORKFLOWS = sorted(
    file for folder in (ROOT, TEMPLATE) for file in folder.glob(".github/workflows/*")
)
RIGHTS = {
    "push": {"contents": "read", "id-token": "write"},
    "propose": {"contents": "write", "pull-requests": "write"},
}
"""The permissions of jobs that do more than check out."""
GITLAB = ".gitlab-ci.yml"
MAKE = r"\bmake (\S+)"
JOBS = yaml.safe_load((TEMPLATE / ".github/workflows/ci.yml").read_text())["jobs"]


def repository(workflow: Path) -> Path:
    return workflow.parents[2]


def of(workflow: Path) -> str:
    return str(workflow.relative_to(ROOT))


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


@pytest.mark.parametrize("folder", [ROOT, TEMPLATE], ids=["template", "generated"])
def test_nothing_in_them_is_known_to_be_unsafe(folder: Path) -> None:
    done = subprocess.run(
        [SCRIPTS / "zizmor", "--offline", "--persona=pedantic", "--format=json", ".github"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout) == [], done.stdout


@pytest.mark.parametrize("folder", [ROOT, TEMPLATE], ids=["template", "generated"])
def test_they_are_as_github_wants_them(folder: Path) -> None:
    check = (str(SCRIPTS / "check-jsonschema"), "--builtin-schema")
    workflows = [str(file) for file in WORKFLOWS if repository(file) == folder]
    assert workflows
    run(folder, *check, "vendor.github-workflows", *workflows)
    run(folder, *check, "vendor.dependabot", ".github/dependabot.yml")


def test_gitlab_does_the_same(generated: Path) -> None:
    run(
        generated, str(SCRIPTS / "check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", GITLAB
    )
    pipeline = yaml.safe_load((TEMPLATE / GITLAB).read_text())
    jobs = [job for job in pipeline.values() if isinstance(job, dict) and "script" in job]
    assert {line for job in jobs for line in job["script"] if line.startswith("make ")} == {
        line for name in JOBS for line in commands(name) if line.startswith("make ")
    }
    condition = pipeline["push"]["rules"][0]["if"]
    assert "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in condition
    assert "$AWS_ROLE_ARN" in condition
    made = {target for line in pipeline["push"]["script"] for target in re.findall(MAKE, line)}
    assert made == {"push"}
    (saved,) = pipeline["build"]["artifacts"]["paths"]
    assert any(f">{saved}" in line for line in pipeline["build"]["script"])
    assert f"docker load --input {saved}" in pipeline["push"]["script"]


def test_forms_are_as_github_wants_them() -> None:
    check = (str(SCRIPTS / "check-jsonschema"), "--builtin-schema")
    forms = ROOT / ".github" / "ISSUE_TEMPLATE"
    config = forms / "config.yml"
    run(ROOT, *check, "vendor.github-issue-config", str(config))
    for form in set(forms.iterdir()) - {config}:
        run(ROOT, *check, "vendor.github-issue-forms", str(form))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=of)
def test_rights_are_given_to_jobs_one_by_one(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {}
    for name, job in content["jobs"].items():
        assert job["permissions"] == RIGHTS.get(name, {"contents": "read"})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=of)
def test_jobs_with_more_permissions_run_no_code_of_packages(workflow: Path) -> None:
    """They run git, docker, the CLIs of AWS and GitHub, and the scripts of the repository."""
    for name, job in yaml.safe_load(workflow.read_text())["jobs"].items():
        if name in RIGHTS:
            lines = [step["run"] for step in job["steps"] if "run" in step]
            targets = {target for line in lines for target in re.findall(MAKE, line)}
            assert targets <= {"push"}


def test_every_action_is_one_commit_with_its_version() -> None:
    text = "".join(workflow.read_text() for workflow in WORKFLOWS)
    used = re.findall(r"uses: (\S+?)@(.*)", text)
    assert used
    assert all(re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) for _, pin in used)
    assert len(set(used)) == len({action for action, _ in used})


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=of)
def test_commands_are_verbs_of_the_makefile(workflow: Path) -> None:
    makefile = (repository(workflow) / "Makefile").read_text()
    verbs = re.findall(r"^\.PHONY: (\S+)", makefile, flags=re.MULTILINE)
    for command in (step["run"] for step in steps(workflow) if "run" in step):
        for verb in re.findall(MAKE, command):
            assert verb in verbs
        for script in re.findall(r"(\.ci/\S+)", command):
            assert os.access(repository(workflow) / script, os.X_OK)
        for script in re.findall(r"(?:\./)?([\w*/]*scripts/[\w.]+)", command):
            (found,) = repository(workflow).glob(script)
            assert os.access(found, os.X_OK)


def test_python_is_that_of_the_image() -> None:
    """The commands of these workflows make .venv, and the image follows the same file."""
    for workflow in (file for file in WORKFLOWS if repository(file) == TEMPLATE):
        for job in yaml.safe_load(workflow.read_text())["jobs"].values():
            chosen = [
                step["with"] for step in job["steps"] if "setup-python" in step.get("uses", "")
            ]
            runs = " ".join(step.get("run", "") for step in job["steps"])
            needed = "make" in runs.replace("make push", "")
            assert chosen == [{"python-version-file": ".python-version"}] * needed, workflow
    base = (TEMPLATE / "Dockerfile").read_text()
    assert not re.search(r"\bpython:?\d", base)


@pytest.mark.parametrize("job", JOBS)
def test_the_history_of_the_image_is_checked_out(job: str) -> None:
    """Without it, there is no stamp, and GitHub's default is a single commit."""
    (checkout,) = [step for step in JOBS[job]["steps"] if "checkout" in step.get("uses", "")]
    assert checkout["with"]["fetch-depth"] == 0


def test_an_image_is_pushed_from_the_default_branch_alone_and_with_no_stored_key() -> None:
    (save,) = [step for step in JOBS["image"]["steps"] if step.get("id") == "save"]
    assert set(save["if"].split(" && ")) == {
        "github.event_name == 'push'",
        "github.ref_name == github.event.repository.default_branch",
        "vars.AWS_ROLE_ARN != ''",
    }
    assert JOBS["image"]["outputs"] == {"saved": "${{ steps.save.outcome }}"}
    assert JOBS["push"]["if"] == "needs.image.outputs.saved == 'success'"
    assert JOBS["push"]["needs"] == [name for name in JOBS if name != "push"]
    stored = {
        name for file in WORKFLOWS for name in re.findall(r"secrets\.(\w+)", file.read_text())
    }
    # Of GitHub: to propose an update of a workflow, and to read a private template.
    assert stored <= {"TEMPLATE_TOKEN", "TEMPLATE_READ_TOKEN"}


def login() -> str:
    """The command that lets the first job of the update read a private template."""
    jobs = yaml.safe_load((TEMPLATE / ".github/workflows/update.yml").read_text())["jobs"]
    (step,) = [step for step in jobs["update"]["steps"] if "TOKEN" in step.get("env", {})]
    assert "secrets.TEMPLATE_READ_TOKEN" in step["env"]["TOKEN"]
    return str(step["run"])


@pytest.mark.parametrize(
    ("token", "address"),
    [
        ("t0ken", "https://x-access-token:t0ken@github.com/team/template"),
        ("", "https://github.com/team/template"),
    ],
)
def test_a_private_template_can_be_read(tmp_path: Path, token: str, address: str) -> None:
    env = {"HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": str(tmp_path / "config"), "TOKEN": token}
    run(tmp_path, "bash", "-e", "-c", login(), **env)
    command = ("git", "ls-remote", "--get-url", "https://github.com/team/template")
    assert run(tmp_path, *command, **env).strip() == address


@pytest.fixture
def checkout(generated: Path, tmp_path: Path) -> Path:
    """What a runner has: the files of the commit and nothing else."""
    folder = tmp_path / generated.name
    run(tmp_path, "git", "clone", "--quiet", str(generated), str(folder))
    return folder


def commands(job: str) -> list[str]:
    return [step["run"] for step in JOBS[job]["steps"] if "run" in step]


@pytest.fixture
def aws(shared_folder: Path, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the step that takes the role leaves behind: credentials and a region."""
    for name in ("registry", "moto", "docker"):
        (tmp_path / name).mkdir()
    registries, services = tmp_path / "registry", tmp_path / "moto"
    with (
        registry.docker_registry(registries, layers=shared_folder / "layers" / SLUG) as images,
        registry.moto_server(services) as moto,
    ):
        yield registry.aws_environment(moto) | registry.docker_client(tmp_path, images, moto)


def test_tests_are_those_that_run_by_hand() -> None:
    """Another test runs these, and what the image's job runs, in generated projects."""
    assert commands("test") == ["make lint", "make coverage"]
    *made, _save = commands("image")
    assert made == ["make image", "make run-image"]


@pytest.mark.slow
@pytest.mark.docker
def test_commands_of_the_push_leave_an_image_in_ecr(checkout: Path, aws: dict[str, str]) -> None:
    registry.need_engine()
    settings = (checkout / "aws.env").read_text()
    (checkout / "aws.env").write_text(settings.replace("REGION=", 'REGION = "eu-west-3" # ours'))
    run(checkout, "git", "commit", "--quiet", "--all", "--message", "Region")
    outputs = checkout.parent / "outputs"
    env = aws | {
        "CI": "true",
        "GITHUB_OUTPUT": str(outputs),
        "RUNNER_TEMP": str(checkout.parent),
    }
    build, _run, save = commands("image")
    *before, push = commands("push")
    with registry.images_of(checkout):
        for line in (build, save):
            run(checkout, "bash", "-e", "-c", line, **env)
    with registry.images_of(checkout):  # the second job starts without the image
        for line in before:
            run(checkout, "bash", "-e", "-c", line, **env | {"AWS_REGION": ""})
        said = run(checkout, "bash", "-e", "-c", push, **env)
    address = f"{registry.ECR}/{checkout.name}@sha256:"
    assert [line for line in said.splitlines() if line.startswith(address)]
    assert outputs.read_text() == "AWS_REGION=eu-west-3\n"
