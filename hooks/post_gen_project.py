"""Reject a package name that is taken, write aws.env, commit, and print the next steps."""

import os
import sys

PROJECT = "{{ cookiecutter.project_slug }}"
PACKAGE = "{{ cookiecutter.__package_name }}"
ECR_REPOSITORY = "{{ cookiecutter.ecr_repository }}"
BY_CRUFT = bool("{{ 'yes' if '_commit' in cookiecutter }}")
ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
# Commit files even if the user's own git configuration ignores them; compress and maintain later.
SETTINGS = "-c core.excludesFile= -c core.looseCompression=0 -c maintenance.auto=false"
TODO = "git init -b main && git add --all && git commit -m 'Start from the template'"
# Import names of distributions in poetry.lock that differ from their names; a test checks that none
# is missing.
IMPORTS = """
argon2 attr bs4 databricks dateutil dotenv git google ipykernel_launcher jupyter markdown_it mlflow
mpl_toolkits mypyc nacl opentelemetry py pylab pythonjsonlogger rpds sagemaker sklearn websocket
xdist yaml zmq
"""
AWS_ENV = f"""\
# The AWS resources of this repository. Environment variables have precedence over this file.
ECR_REPOSITORY={ECR_REPOSITORY}
# If the ECR repository belongs to another account or region:
# ECR_REGISTRY=<account>.dkr.ecr.<region>.amazonaws.com
AWS_REGION=
S3_BUCKET=
SAGEMAKER_ROLE_ARN=
# To log launches to MLflow, the ARN of a tracking server on SageMaker:
# MLFLOW_TRACKING_URI=arn:aws:sagemaker:<region>:<account>:mlflow-tracking-server/<name>
"""


def modules() -> set[str]:
    """Return the names of modules that could be imported instead of a package of the same name."""
    names = {"out"}  # `launch` creates this folder later
    names.update(entry.name for entry in os.scandir() if entry.is_dir())
    for top in ("entrypoints", "tests"):
        for _, folders, files in os.walk(top):
            names.update(folders)
            names.update(name.removesuffix(".py") for name in files)
    return names


def distributions() -> set[str]:
    """Return the distributions in poetry.lock, by names that are valid in Python."""
    with open("poetry.lock", encoding="utf-8") as file:
        names = [line.split('"')[1] for line in file if line.startswith('name = "')]
    return {name.lower().replace("-", "_").replace(".", "_") for name in names}


def is_taken(package: str) -> bool:
    """Return whether another module has this name, or a test could have it later."""
    return package.startswith("test_") or package in modules() | distributions() | set(
        IMPORTS.split()
    )


def git(*arguments: str) -> int:
    """Run git in this folder, even if the environment names another repository."""
    env = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    process = os.posix_spawnp("git", ["git", *SETTINGS.split(), *arguments], env)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def inside_work_tree() -> bool:
    folder = os.getcwd()
    while folder != (folder := os.path.dirname(folder)):
        if os.path.lexists(os.path.join(folder, ".git")):
            return True
    return False


def commit() -> str | None:
    """Commit everything to a new repository. On failure, return the reason and what to do."""
    if os.path.lexists(".git"):
        return "the folder is already a git repository; review git diff, and commit the changes"
    if inside_work_tree():
        return f"the folder is in another git repository; commit it there, or run: {TODO}"
    if BY_CRUFT:
        return f"cruft has not written .cruft.json yet; afterwards, run: {TODO}"
    try:
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message", "Start from the template"),
        ):
            if git(*arguments) != 0:
                return f"git {arguments[0]} failed (see above); fix the error, then run: {TODO}"
    except FileNotFoundError:
        return f"git is not installed; install it, then run: {TODO}"
    return None


def is_draft() -> bool:
    """Return whether cruft renders to a temporary folder, to compare versions of the template."""
    if not BY_CRUFT:
        return False
    import re
    import tempfile

    parent, name = os.path.split(os.path.dirname(os.getcwd()))
    temporary = parent == os.path.realpath(tempfile.gettempdir())
    return temporary and re.fullmatch(r"tmp\w{8}", name) is not None


def main() -> None:
    if is_taken(PACKAGE):
        sys.exit(
            f"project_slug {PROJECT!r} must not result in the package name {PACKAGE!r}, which the "
            "project uses; for example: churn-model"
        )
    kept = os.path.exists("aws.env")
    if not kept:
        with open("aws.env", "w", encoding="utf-8") as file:
            file.write(AWS_ENV)
    if is_draft():
        return
    todo = commit()
    print("\ncommit stamp    ", end="", flush=True)
    if todo:
        print(f"none: {todo}")
    else:
        git("rev-parse", "HEAD")  # the stamp, because this commit contains all files
    print(f"""\
ECR repository  {"see aws.env" if kept else ECR_REPOSITORY}

  cd {PROJECT}
  make run
  make check
""")


if __name__ == "__main__":
    main()
