"""Pull requests of the workflows, with a local remote and a fake GitHub CLI."""

import os
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, fails, run

pytestmark = pytest.mark.slow

BRANCH = "template-update"
TITLE = "Apply the newest version of the template"
GH = """\
#!/bin/sh
echo "$@" >>"$CALLS"
case "$1 $2" in
    "pr list") cat "$OPEN" ;;
esac
"""


@pytest.fixture
def clone(generated: Path, tmp_path: Path) -> Path:
    """A clone of the repository that pushes to ``remote``; a GitHub CLI that records its calls."""
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(generated), "remote")
    run(tmp_path, "git", "clone", "--quiet", "remote", "clone")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "open").touch()
    (tmp_path / "calls").touch()
    return tmp_path / "clone"


def commands(job: str) -> list[str]:
    """The commands of a job of the workflow that updates the template."""
    steps = yaml.safe_load((TEMPLATE / ".github/workflows/update.yml").read_text())["jobs"][job][
        "steps"
    ]
    return [step["run"] for step in steps if "run" in step]


def make_patch(clone: Path) -> Path:
    """Run the command by which the first job saves its changes, and undo them for the second."""
    (command,) = [line for line in commands("update") if "git diff" in line]
    run(clone, "bash", "-e", "-c", command, RUNNER_TEMP=str(clone.parent))
    run(clone, "git", "reset", "--quiet", "--hard")
    return clone.parent / "changes.patch"


def propose(clone: Path) -> list[str]:
    """Save the changes, propose them, and return the calls of the GitHub CLI."""
    folder = clone.parent
    (folder / "calls").write_text("")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(
        clone,
        "scripts/propose.sh",
        BRANCH,
        TITLE,
        str(make_patch(clone)),
        PATH=path,
        CALLS=str(folder / "calls"),
        OPEN=str(folder / "open"),
    )
    return (folder / "calls").read_text().splitlines()


def branches(clone: Path) -> set[str]:
    listed = run(clone.parent / "remote", "git", "branch", "--format", "%(refname:short)")
    return set(listed.split())


def test_nothing_is_proposed_without_a_change(clone: Path) -> None:
    assert propose(clone) == []
    assert branches(clone) == {"main"}


def test_a_change_becomes_a_pull_request(clone: Path) -> None:
    before = run(clone, "git", "rev-parse", "main")
    (clone / "Makefile").write_text("changed")
    (clone / "new.txt").write_text("new")
    (clone / "README.md.rej").write_text("rejected")
    with (clone / "Dockerfile").open("a") as file:
        file.write("<<<<<<< ours\n=======\n>>>>>>> theirs\n")
    calls = propose(clone)
    (created,) = [call for call in calls if call.startswith("pr create")]
    assert f"--head {BRANCH} --title {TITLE} " in created
    assert {"README.md", "Dockerfile"} <= set(calls)
    assert "Makefile" not in calls
    remote = clone.parent / "remote"
    changed = run(remote, "git", "diff", "--name-only", "main", BRANCH).split()
    assert changed == ["Dockerfile", "Makefile", "README.md.rej", "new.txt"]
    assert run(remote, "git", "rev-parse", "main") == before


def test_no_code_of_the_patch_is_run(clone: Path) -> None:
    """The first job runs code of others; only the second may write to the repository."""
    script = clone / "scripts" / "propose.sh"
    script.write_text(f"#!/bin/sh\n: > {clone.parent / 'stolen'}\n" * 500)
    propose(clone)
    assert BRANCH in branches(clone)
    assert not (clone.parent / "stolen").exists()


def test_an_open_pull_request_is_updated(clone: Path) -> None:
    (clone / "Makefile").write_text("changed")
    propose(clone)
    run(clone, "git", "switch", "--quiet", "main")
    (clone / "Makefile").write_text("changed again")
    (clone.parent / "open").write_text("7\n")
    calls = propose(clone)
    assert not [call for call in calls if call.startswith("pr create")]
    remote = clone.parent / "remote"
    shown = run(remote, "git", "show", f"{BRANCH}:Makefile")
    assert shown == "changed again"


def test_a_commit_of_a_reviewer_is_kept(clone: Path, tmp_path: Path) -> None:
    (clone / "Makefile").write_text("changed")
    propose(clone)
    run(tmp_path, "git", "clone", "--quiet", "--branch", BRANCH, "remote", "reviewer")
    (tmp_path / "reviewer" / "Makefile").write_text("corrected")
    run(tmp_path / "reviewer", "git", "commit", "--quiet", "--all", "--message", "Correct")
    run(tmp_path / "reviewer", "git", "push", "--quiet")
    run(clone, "git", "switch", "--quiet", "main")
    (clone / "Makefile").write_text("changed again")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "CALLS": os.devnull, "OPEN": os.devnull}
    patch = str(make_patch(clone))
    said = fails(clone, "scripts/propose.sh", BRANCH, TITLE, patch, **settings)
    assert "tests@localhost" in said
    assert "delete the branch" in said
    assert run(tmp_path / "remote", "git", "show", f"{BRANCH}:Makefile") == "corrected"


def test_the_whole_history_is_there_to_merge_with(clone: Path) -> None:
    """Without it, what cannot be applied becomes ``.rej`` files instead of conflict markers."""
    workflow = yaml.safe_load((clone / ".github" / "workflows" / "update.yml").read_text())
    (checkout,) = [
        step
        for step in workflow["jobs"]["update"]["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert checkout["with"]["fetch-depth"] == 0
