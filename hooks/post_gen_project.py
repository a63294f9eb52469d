"""Name the ECR repository, commit what was generated and say what comes next."""

import os
import re
import subprocess
from pathlib import Path

PROJECT = "{{ cookiecutter.project_slug }}"
ECR_REPOSITORY = "{{ cookiecutter.ecr_repository }}"
BY_CRUFT = bool("{{ 'yes' if '_commit' in cookiecutter }}")
ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
AWS_ENV = f"""\
# What this repository uses in AWS, named nowhere else; the environment wins over this file.
ECR_REPOSITORY={ECR_REPOSITORY}
AWS_REGION=
S3_BUCKET=
SAGEMAKER_ROLE_ARN=
"""


def git(*arguments: str) -> str:
    """Run git here, whatever repository the caller's environment points to."""
    env = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    done = subprocess.run(["git", *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def inside_work_tree() -> bool:
    return any(os.path.lexists(folder / ".git") for folder in Path.cwd().parents)


def commit() -> str:
    """Commit everything to a repository of its own; return the stamp, or what is left to do."""
    todo = "git init -b main && git add --all && git commit -m 'Start from the template'"
    try:
        if inside_work_tree():
            return f"none: the folder lies in another git repository; commit it there, or: {todo}"
        if BY_CRUFT:
            return f"none: its .cruft.json is written after this; once it is there: {todo}"
        git("init", "--quiet", "--initial-branch=main")
        git("add", "--all", "--force")
        git("commit", "--quiet", "--message", "Start from the template")
        return git("rev-parse", "HEAD")
    except FileNotFoundError:
        return f"none: git is not installed; install it, then: {todo}"
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or error.stdout).strip().splitlines() or ["no reason given"]
        return f"none: git {error.cmd[1]} failed ({reason[-1]}); mend it, then: {todo}"


def is_draft() -> bool:
    """Whether cruft makes this in a temporary folder, to see how the template has changed."""
    if not BY_CRUFT:
        return False
    import tempfile

    folder = Path.cwd().parent
    temporary = folder.parent == Path(tempfile.gettempdir()).resolve()
    return temporary and re.fullmatch(r"tmp\w{8}", folder.name) is not None


Path("aws.env").write_text(AWS_ENV, encoding="utf-8")
if not is_draft():
    print(f"""
commit stamp    {commit()}
ECR repository  {ECR_REPOSITORY}

  cd {PROJECT}
  make run
  make test
""")
