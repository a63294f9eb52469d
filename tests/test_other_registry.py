"""An ECR repository in another account and region: it is used, but never created."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest
from conftest import fails, run
from registry import ACCOUNT

pytestmark = pytest.mark.slow

OTHER = "210987654321"
REGISTRY = f"{OTHER}.dkr.ecr.eu-central-1.amazonaws.com"
DIGEST = f"sha256:{'0' * 64}"
PUSHED = f"""[ -e pushed ] && printf '{DIGEST}\\t{{}}' || echo None"""
TOOL = """\
#!/bin/sh
echo "{tool} $*" >>'{log}'
case "$*" in
{answers}
esac
"""


@pytest.fixture
def project(generated: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "a space" / generated.name
    shutil.copytree(generated, folder)
    run(folder, "scripts/setting.sh", f"ECR_REGISTRY={REGISTRY}", "AWS_REGION=eu-west-1")
    run(folder, "git", "commit", "--quiet", "--all", "--message", "Settings")
    return folder


class Tools:
    """Commands in place of ``aws`` and ``docker`` that keep what they are called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tools"
        self.log = folder / "log"
        self.folder.mkdir()
        self.make(
            "docker", {"login*": "cat >/dev/null", "push*": "touch pushed", "image*": "echo id"}
        )
        self.answer_aws({"*batch-get-image*": PUSHED})

    def answer_aws(self, answers: dict[str, str]) -> None:
        identity = {"*get-caller-identity*": f"echo {ACCOUNT}", "*get-login-password*": "echo word"}
        self.make("aws", answers | identity)

    def make(self, tool: str, answers: dict[str, str]) -> None:
        lines = "\n".join(f"    {pattern}) {command} ;;" for pattern, command in answers.items())
        path = self.folder / tool
        path.write_text(TOOL.format(tool=tool, log=self.log, answers=lines))
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "ECR_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    found = Tools(tmp_path)
    monkeypatch.setenv("PATH", f"{found.folder}{os.pathsep}{os.environ['PATH']}")
    return found


def test_the_image_goes_to_the_registry_of_the_settings(project: Path, tools: Tools) -> None:
    said = run(project, "scripts/push.sh").splitlines()
    assert said[-1] == f"{REGISTRY}/{project.name}@{DIGEST}"
    calls = tools.calls()
    stamp = run(project, "scripts/stamp.sh").strip()
    assert f"docker push {REGISTRY}/{project.name}:{stamp}" in calls
    assert f"docker login --username AWS --password-stdin {REGISTRY}" in calls
    asked = [call for call in calls if call.startswith("aws ") and " ecr " in call]
    assert asked
    assert all("--region eu-central-1 " in call for call in asked)
    images = [call for call in asked if "batch-get-image" in call]
    assert all(f"--registry-id {OTHER} " in call for call in images)


def test_no_repository_is_made_in_another_account(project: Path, tools: Tools) -> None:
    tools.answer_aws({"*batch-get-image*": "echo RepositoryNotFoundException >&2; exit 254"})
    message = fails(project, "scripts/push.sh")
    assert f"account {OTHER} has no repository {project.name}" in message
    assert "owner" in message
    assert not [
        call for call in tools.calls() if "create-repository" in call or "docker push" in call
    ]


def test_the_repository_of_this_account_in_another_region_is_made(
    project: Path, tools: Tools
) -> None:
    run(project, "scripts/setting.sh", f"ECR_REGISTRY={REGISTRY.replace(OTHER, ACCOUNT)}")
    run(project, "git", "commit", "--quiet", "--all", "--message", "Another region")
    missing = f"[ ! -e made ] && echo RepositoryNotFoundException >&2 && exit 254; {PUSHED}"
    tools.answer_aws({"*batch-get-image*": missing, "*create-repository*": "touch made"})
    run(project, "scripts/push.sh")
    (made,) = [call for call in tools.calls() if "create-repository" in call]
    assert "--region eu-central-1 " in made


def regions() -> Iterator[tuple[str, str]]:
    """A region of each partition that botocore knows, and its domain."""
    for partition in botocore.session.get_session().get_data("partitions")["partitions"]:
        region = next(name for name in partition["regions"] if not name.endswith("-global"))
        yield region, partition["outputs"]["dnsSuffix"]


@pytest.mark.parametrize(("region", "suffix"), list(regions()))
def test_without_the_setting_the_registry_is_this_accounts(
    project: Path, tools: Tools, region: str, suffix: str
) -> None:
    run(project, "scripts/setting.sh", "ECR_REGISTRY=", f"AWS_REGION={region}")
    wanted = f"{ACCOUNT}.dkr.ecr.{region}.{suffix} {ACCOUNT} {region}"
    assert run(project, "scripts/registry.sh").strip() == wanted
    assert tools.calls()


@pytest.mark.parametrize(
    "registry", ["localhost:5000", f"https://{REGISTRY}", f"{REGISTRY}/team", OTHER]
)
def test_what_is_no_registry_is_said(
    project: Path, tools: Tools, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECR_REGISTRY", registry)
    message = fails(project, "scripts/push.sh")
    assert "ECR_REGISTRY must have the form" in message
    assert registry in message
    assert not [call for call in tools.calls() if "docker push" in call]
