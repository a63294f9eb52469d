"""Linters of CloudFormation and IAM accept the stack, with several sets of parameters.

They are installed by hash into an environment of their own, build/linters: they have a hundred
packages, some of them old.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import resolved
from conftest import TEMPLATE, run

pytestmark = pytest.mark.slow

ROOT = TEMPLATE.parent


@pytest.fixture(scope="session")
def linters() -> Path:
    """The folder of the linters' commands."""
    run(ROOT, "make", "build/linters/installed")
    return ROOT / "build" / "linters" / "bin"


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """A folder with what CloudFormation would create with each set of parameters."""
    folder = tmp_path / "stacks"
    folder.mkdir()
    for name, parameters in resolved.SETS.items():
        content = {"Resources": resolved.resources(parameters)}
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def suppressions() -> dict[str, str]:
    """The checks that the template suppresses, each with its reason."""
    metadata = (part.get("Metadata", {}) for part in resolved.template()["Resources"].values())
    skips = [skip for each in metadata for skip in each.get("checkov", {}).get("skip", [])]
    return {skip["id"]: skip["comment"] for skip in skips}


def checkov(linters: Path, folder: Path) -> list[dict[str, Any]]:
    """The checks that fail, of the templates in a folder."""
    options = ("--framework", "cloudformation", "--skip-download", "--output", "json", "--quiet")
    done = subprocess.run(
        [linters / "checkov", *options, "--directory", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["passed"]
    assert not report["summary"]["parsing_errors"]
    failed: list[dict[str, Any]] = report["results"]["failed_checks"]
    assert (done.returncode == 0) == (not failed), done.stderr
    return failed


def parliament(linters: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Whether the policies in a folder are sound, and what is said about them."""
    return subprocess.run(
        [linters / "parliament", "--directory", folder],
        env=os.environ | {"PYTHONWARNINGS": "ignore"},  # about its own use of pkg_resources
        capture_output=True,
        text=True,
        check=False,
    )


def test_checkov_has_nothing_to_say(linters: Path, stacks: Path) -> None:
    shutil.copy(resolved.STACK, stacks)
    assert checkov(linters, stacks) == []


def test_every_suppression_has_a_reason_and_is_needed(linters: Path, stacks: Path) -> None:
    assert all(len(reason.split()) > 3 for reason in suppressions().values())
    for path in stacks.iterdir():
        content = json.loads(path.read_text())
        for part in content["Resources"].values():
            part.pop("Metadata", None)
        path.write_text(json.dumps(content))
    failed = {check["check_id"] for check in checkov(linters, stacks)}
    assert failed == set(suppressions())


def test_parliament_has_nothing_to_say(linters: Path, tmp_path: Path) -> None:
    for name, parameters in resolved.SETS.items():
        for role, policy in resolved.policies(parameters).items():
            document = json.dumps(policy["Properties"]["PolicyDocument"])
            (tmp_path / f"{name}-{role}.json").write_text(document)
    assert len(list(tmp_path.iterdir())) > len(resolved.SETS)
    done = parliament(linters, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("action", "resource"),
    [("s3:GetObjct", "arn:aws:s3:::bucket/*"), ("s3:GetObject", "arn:aws:s3:::bucket")],
    ids=["action", "resource"],
)
def test_parliament_would_find_a_mistake(
    linters: Path, tmp_path: Path, action: str, resource: str
) -> None:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    (tmp_path / "policy.json").write_text(json.dumps(document))
    done = parliament(linters, tmp_path)
    assert done.returncode != 0
    assert action in done.stdout
