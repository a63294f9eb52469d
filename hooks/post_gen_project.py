"""Reject a name that is taken, name the ECR repository, commit, and say what comes next."""

import os
import sys

PROJECT = "{{ cookiecutter.project_slug }}"
PACKAGE = "{{ cookiecutter.__package_name }}"
ECR_REPOSITORY = "{{ cookiecutter.ecr_repository }}"
BY_CRUFT = bool("{{ 'yes' if '_commit' in cookiecutter }}")
ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
# Nothing that the user ignores elsewhere is left out; git tidies up and compresses later.
SETTINGS = "-c core.excludesFile= -c core.looseCompression=0 -c maintenance.auto=false"
TODO = "git init -b main && git add --all && git commit -m 'Start from the template'"
# What distributions in poetry.lock are imported as where that is not their name; a test keeps it
# complete.
IMPORTS = """
argon2 attr bs4 databricks dateutil dotenv git google ipykernel_launcher jupyter markdown_it mlflow
mpl_toolkits mypyc nacl opentelemetry py pylab pythonjsonlogger rpds sagemaker sklearn websocket
xdist yaml zmq
"""
AWS_ENV = f"""\
# What this repository uses in AWS, named nowhere else; the environment wins over this file.
ECR_REPOSITORY={ECR_REPOSITORY}
# If the repository belongs to another account or region:
# ECR_REGISTRY=<account>.dkr.ecr.<region>.amazonaws.com
AWS_REGION=
S3_BUCKET=
SAGEMAKER_ROLE_ARN=
# To log launches to MLflow as well, the ARN of a tracking server that SageMaker manages:
# MLFLOW_TRACKING_URI=arn:aws:sagemaker:<region>:<account>:mlflow-tracking-server/<name>
"""


def modules() -> set[str]:
    """Return what an entrypoint or a test could import instead of a package of the same name."""
    names = {"out"}  # which `launch` makes later
    names.update(entry.name for entry in os.scandir() if entry.is_dir())
    for top in ("entrypoints", "tests"):
        for _, folders, files in os.walk(top):
            names.update(folders)
            names.update(name.removesuffix(".py") for name in files)
    return names


def distributions() -> set[str]:
    """Return what poetry.lock installs, as Python would write the names."""
    with open("poetry.lock", encoding="utf-8") as file:
        names = [line.split('"')[1] for line in file if line.startswith('name = "')]
    return {name.lower().replace("-", "_").replace(".", "_") for name in names}


def is_taken(package: str) -> bool:
    """Whether something else here has this name, or a test may have it one day."""
    return package.startswith("test_") or package in modules() | distributions() | set(
        IMPORTS.split()
    )


def git(*arguments: str) -> int:
    """Run git here, whatever repository the caller's environment points to."""
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
    """Commit everything to a repository of its own; return what is left to do, and why."""
    if os.path.lexists(".git"):
        return "the folder is a git repository already; look at git diff and commit it there"
    if inside_work_tree():
        return f"the folder lies in another git repository; commit it there, or: {TODO}"
    if BY_CRUFT:
        return f"its .cruft.json is written after this; once it is there: {TODO}"
    try:
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message", "Start from the template"),
        ):
            if git(*arguments) != 0:
                return f"git {arguments[0]} failed (see above); fix it, then: {TODO}"
    except FileNotFoundError:
        return f"git is not installed; install it, then: {TODO}"
    return None


def is_draft() -> bool:
    """Whether cruft makes this in a temporary folder, to see how the template has changed."""
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
            f"project_slug {PROJECT!r} must not make the package {PACKAGE!r}, which the project "
            "uses; for example: churn-model"
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
        git("rev-parse", "HEAD")  # as scripts/stamp.sh, since the first commit holds everything
    print(f"""\
ECR repository  {"as aws.env had it" if kept else ECR_REPOSITORY}

  cd {PROJECT}
  make run
  make check
""")


if __name__ == "__main__":
    main()
