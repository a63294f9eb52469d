"""Lists what is still missing before a job can be launched, and how to fix it: ``make doctor``.

A line is ``ok``; ``todo`` if something was not set up yet; ``broken`` if something that was set up
does not work, and then the exit code is 1; or ``unknown`` if it could not be checked.
"""

import platform
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from subprocess import TimeoutExpired, run
from typing import Any

from .aws import clients, errors
from .pipelines import retries
from .requests import access, cluster, field_checks, images, jobs
from .settings import config, project
from .settings.addresses import is_s3
from .settings.merge import merge
from .settings.project import ROOT, LaunchError, SetupError
from .storage import s3

_SECONDS = 10.0  # for an API to answer
_COMMAND_SECONDS = 30.0

Row = tuple[str, str, str, str]
"""State, name, what was found, and how to fix it."""


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    look: Callable[[], str]
    """Returns what was found, or raises a ``LaunchError`` that says what is wrong."""
    fix: str
    needs: Sequence[str] = ()
    """Earlier checks that must be ``ok`` before this one runs."""
    readable: bool = True
    """Whether a launch also needs the permission to read this."""


def diagnose() -> list[Row]:
    """Run all checks in parallel."""
    rows: dict[str, Future[Row]] = {}
    with ThreadPoolExecutor(len(CHECKS)) as pool:
        for check in CHECKS:
            rows[check.name] = pool.submit(_row, check, [rows[name] for name in check.needs])
    return [row.result() for row in rows.values()]


def _row(check: Check, needed: Sequence[Future[Row]]) -> Row:
    for state, name, *_ in (row.result() for row in needed):
        if state != "ok":
            return "unknown", check.name, f"needs {name}", ""
    try:
        with errors.as_launch_error(check.name):
            return "ok", check.name, check.look().partition("\n")[0], ""
    except access.NotSimulatedError as error:
        return "unknown", check.name, str(error).partition("\n")[0], ""
    except LaunchError as error:
        found = str(error).removeprefix(f"{check.name}: ").partition("\n")[0]
        if not check.readable and "AccessDenied" in found:
            return "unknown", check.name, found, ""
        state = "todo" if isinstance(error, SetupError) else "broken"
        return state, check.name, found, check.fix


def _run(*words: str, failure: type[LaunchError] = SetupError) -> str:
    """Return the output of a command."""
    try:
        done = run(words, cwd=ROOT, capture_output=True, text=True, timeout=_COMMAND_SECONDS)
    except FileNotFoundError as error:
        raise SetupError("not installed") from error
    except TimeoutExpired as error:
        raise LaunchError(f"no answer in {_COMMAND_SECONDS:.0f} s") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise failure(said.rpartition("\n")[2])
    return done.stdout.strip()


def _platform() -> str:
    if "linux/amd64" not in _run("docker", "buildx", "inspect"):
        raise LaunchError("Docker cannot build for linux/amd64, which SageMaker runs")
    native = _run(*_ENGINE, "{{.Server.Arch}}") == "amd64"
    return "linux/amd64" if native else "linux/amd64, by emulation: builds are slow"


def _commit() -> str:
    stamp = project.stamp()
    if stamp == "unknown" or stamp.endswith("-dirty"):
        raise SetupError("there is none" if stamp == "unknown" else "the image's files differ")
    return stamp


def _image() -> str:
    return images.in_ecr(project.stamp())


def _launch_toml() -> str:
    """Read all that the launches of all jobs read in ``launch.toml``."""
    for name in dict.fromkeys([*jobs.names(), *config.jobs()]):
        field_checks.check(jobs.read(name))
        config.inputs(name)
    config.metric()
    config.bucket_owners()
    retries.policies()
    return ", ".join(jobs.names())


def _registry() -> str:
    registry = images.registry()
    return registry.address if registry else "of the credentials' account and region"


def _credentials() -> str:
    sts = clients.client(
        "sts", connect_timeout=3, read_timeout=_SECONDS, retries={"max_attempts": 1}
    )
    return str(sts.get_caller_identity()["Arn"])


def _repository() -> str:
    registry, name = images.registry(), project.require("ECR_REPOSITORY")
    ecr = clients.client("ecr", region=registry.region if registry else None)
    try:
        (found,) = ecr.describe_repositories(
            repositoryNames=[name], **images.registry_id(registry)
        )["repositories"]
    except ecr.exceptions.RepositoryNotFoundException as error:
        raise SetupError(images.no_repository(name, registry)) from error
    return str(found["repositoryUri"])


def _bucket() -> str:
    s3, name = clients.client("s3"), project.require("S3_BUCKET")
    with errors.as_launch_error(name):
        region = s3.head_bucket(Bucket=name).get("BucketRegion", s3.meta.region_name)
    if region != s3.meta.region_name:
        raise LaunchError(f"{name} is in {region}, jobs run in {s3.meta.region_name}")
    return name


def _role() -> str:
    arn = project.require("SAGEMAKER_ROLE_ARN")
    with errors.as_launch_error(arn):
        role = clients.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    if role["Arn"] != arn:
        raise LaunchError(f"there is no {arn}, but {role['Arn']}")
    statements = role["AssumeRolePolicyDocument"]["Statement"]
    if isinstance(statements, dict):
        statements = [statements]
    trusted = [str(each.get("Principal")) for each in statements]
    if not any("sagemaker.amazonaws.com" in each for each in trusted):
        raise LaunchError(f"{arn} does not trust sagemaker.amazonaws.com")
    return arn


def _inputs() -> str:
    """Check whether the role of each job may read the inputs in ``launch.toml``.

    Only this check covers the inputs that launches upload, as far as IAM can decide.
    """
    addresses = list(_s3_inputs())
    for name, address in addresses:
        role = config.request(name).get("RoleArn") or project.require("SAGEMAKER_ROLE_ARN")
        if problem := access.unreadable(role, address):
            raise LaunchError(problem)
    for role in {config.request(name).get("RoleArn") for name in jobs.names()}:
        with suppress(access.NotSimulatedError, SetupError):
            project.require("S3_BUCKET")
            role = role or project.require("SAGEMAKER_ROLE_ARN")
            if problem := access.unreadable(role, f"{s3.inputs_address()}/"):
                raise LaunchError(problem)
    return ", ".join(dict.fromkeys(address for _, address in addresses)) or "none is in S3"


def _s3_inputs() -> Iterator[tuple[str, str]]:
    """Yield jobs and the addresses of their inputs in S3, as their requests contain them."""
    for name in jobs.names():
        addresses = config.inputs(name)
        for channel in jobs.read(name).inputs:
            address = addresses.get(channel.option, "")
            if is_s3(address):
                yield name, address if channel.single else f"{address}/"


def _quota() -> str:
    """Check that each job on its own is within the quotas of its instance types and volume."""
    needed = _needed_quotas()
    quotas = _quotas(needed)
    if missing := [name for name in needed if name not in quotas and name != _VOLUME_QUOTA]:
        raise SetupError(f"none was found in {_SECONDS:.0f} s: {', '.join(missing)}")
    short = [
        f"{quota['Value']:.0f} of {needed[name]} {name}: quota {quota['QuotaCode']}"
        for name, quota in quotas.items()
        if quota["Value"] < needed[name]
    ]
    if short:
        raise LaunchError("; ".join(short))
    return "; ".join(f"{quota['Value']:.0f} {name}" for name, quota in quotas.items())


def _needed_quotas() -> dict[str, int]:
    """Return the largest need of any single job for each quota, by its name."""
    needed: dict[str, int] = {}
    for name in jobs.names():
        request = merge(cluster.DEFAULTS, config.request(name))
        cluster.settle(request)
        instances = request["ProcessingResources"]["ClusterConfig"]
        used = {
            f"{each['InstanceType']} for processing job usage": each["InstanceCount"]
            for each in instances.get("InstancePreferences", [instances])
        }
        used[_VOLUME_QUOTA] = instances["VolumeSizeInGB"]
        for quota, amount in used.items():
            needed[quota] = max(amount, needed.get(quota, 0))
    return needed


def _quotas(names: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Return the quotas of SageMaker that have these names, as far as they are found in time."""
    quotas: dict[str, Mapping[str, Any]] = {}
    deadline = time.monotonic() + _SECONDS
    pages = clients.client("service-quotas").get_paginator("list_service_quotas")
    for page in pages.paginate(ServiceCode="sagemaker", PaginationConfig={"PageSize": 100}):
        quotas |= {each["QuotaName"]: each for each in page["Quotas"] if each["QuotaName"] in names}
        if len(quotas) == len(names) or time.monotonic() > deadline:
            break
    return quotas


_VOLUME_QUOTA = "Size of EBS volume for a processing job instance"
"""In GB, for each instance."""
_LOCK = (".tools/bin/python", "-m", "poetry", "check", "--lock")
_ENGINE = ("docker", "version", "--format")
_BUILDX = "https://github.com/docker/buildx#installing"
_CLI = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
_BINFMT = "docker run --privileged --rm tonistiigi/binfmt --install amd64"
_MORE = "aws service-quotas request-service-quota-increase --service-code sagemaker --quota-code"
_AWS = ["credentials"]
_CONFIGURED = [*_AWS, "launch.toml"]
CHECKS = [
    Check("python", platform.python_version, ""),
    Check("git", partial(_run, "git", "--version"), "https://git-scm.com/downloads"),
    Check("make", partial(_run, "make", "--version"), "install make"),
    Check("commit", _commit, "git add --all && git commit", ["git"]),
    Check("lock", partial(_run, *_LOCK, failure=LaunchError), "make lock"),
    Check("docker", partial(_run, "docker", "--version"), "https://docs.docker.com/engine/install"),
    Check("buildx", partial(_run, "docker", "buildx", "version"), _BUILDX, ["docker"]),
    Check("engine", partial(_run, *_ENGINE, "{{.Server.Version}}"), "start Docker", ["docker"]),
    Check("platform", _platform, _BINFMT, ["engine", "buildx"]),
    Check("aws", partial(_run, "aws", "--version"), _CLI),
    Check("region", lambda: str(clients.session().region_name), "write AWS_REGION into aws.env"),
    Check("credentials", _credentials, "aws configure sso, then aws sso login", ["region"]),
    Check("launch.toml", _launch_toml, "correct launch.toml"),
    Check("registry", _registry, "correct ECR_REGISTRY in aws.env"),
    Check("repository", _repository, "make stack", [*_AWS, "registry"]),
    Check("image", _image, "make image push", ["commit", "repository"]),
    Check("bucket", _bucket, "make stack", _CONFIGURED),
    Check("role", _role, "make stack", _AWS, readable=False),
    Check("inputs", _inputs, "add them to ReadPaths in launch.toml, then make stack", _CONFIGURED),
    Check("quota", _quota, f"{_MORE} … --desired-value …", _CONFIGURED, readable=False),
]

if __name__ == "__main__":
    table = diagnose()
    for state, name, found, fix in table:
        print(f"{state:9}{name:13}{found}", *[fix] * bool(fix), sep="  -> ")
    sys.exit(any(state == "broken" for state, *_ in table))
