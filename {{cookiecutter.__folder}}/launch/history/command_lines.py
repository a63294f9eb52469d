"""The options of a launch as words that repeat it, without the values of its secrets."""

import argparse
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from ..requests import cluster
from ..requests.jobs import Job
from ..settings.project import LaunchError
from ..storage import code

_ANEW = {"run_name", "wait", "no-wait", "plan"}
"""Options that apply to a single launch and are not repeated."""

_ADDED = ("--env", "--shard")
"""Options that may be repeated: a further one does not replace those before it."""

Group = Sequence[str]
"""An option and its values: ``--name=value``, ``-n=value`` or ``--names``, ``value``, ``value``."""


@dataclass(frozen=True)
class Words:
    """A command line without its job."""

    options: Sequence[Group]
    hidden: Sequence[str] = ()
    """Options that are missing because their values are secret: ``--key``, or ``--env KEY``."""

    @property
    def words(self) -> list[str]:
        """The options as one command line."""
        return [word for group in self.options for word in group]

    def change(self, changes: Sequence[Group], aliases: Mapping[str, set[str]]) -> list[str]:
        """Return the words with changed options.

        Args:
            changes: Options and their values. In a pipeline, an option without the name of a job
                replaces those of all jobs.
            aliases: All names of an option, by each of them.

        Raises:
            LaunchError: The value of a secret option is missing.
        """
        named = {name for group in changes for name in aliases.get(_name(group), {_name(group)})}
        variables = {
            f"{_name(group)} {_value(group).partition('=')[0]}"
            for group in changes
            if _shared(_name(group)) == "--env"
        }
        missing = [option for option in self.hidden if not _is_given(option, named, variables)]
        if missing:
            examples = [f"{option}{'=' if ' ' in option else ' '}VALUE" for option in missing]
            raise LaunchError(
                f"the values of secret options are not kept: add {' '.join(examples)} with the "
                "values that the job needs"
            )
        kept = [
            group
            for group in self.options
            if _shared(_name(group)) in _ADDED or not named & {_name(group), _shared(_name(group))}
        ]
        return Words([*kept, *changes]).words

    def without(self, options: Collection[str]) -> "Words":
        """Return the words without some options."""
        return Words([group for group in self.options if _name(group) not in options], self.hidden)

    def without_jobs(self, jobs: Collection[str], kept: Collection[str] = ()) -> "Words":
        """Return the words of a pipeline without the options of some jobs, except a few."""
        return Words(
            [
                group
                for group in self.options
                if _name(group) in kept or _name(group).partition(".")[2] not in jobs
            ],
            [each for each in self.hidden if each.split(" ")[0].partition(".")[2] not in jobs],
        )

    def for_job(self, job: str) -> "Words":
        """Return the words of a job in a pipeline: ``--seed.fit``."""
        return Words(
            [[_with_job(group[0], job), *group[1:]] for group in self.options],
            [
                " ".join([f"{option.split(' ')[0]}.{job}", *option.split(" ")[1:]])
                for option in self.hidden
            ],
        )


def last_value(options: Sequence[Group], name: str) -> str:
    """Return the value that the last option of a name has; empty if there is none."""
    return next((_value(group) for group in reversed(options) if _name(group) == name), "")


def split(words: Sequence[str], actions: Sequence[argparse.Action]) -> list[Group]:
    """Split a command line into options, as argparse reads them.

    Args:
        words: The command line.
        actions: The options of the job, and those of the launch if they are among the words.
    """
    return [group for option in runtime.split_options(words, actions) for group in _groups(option)]


def of_launch(
    job: Job,
    typed: Iterable[tuple[str, str | None]],
    arguments: Sequence[str],
    inputs: Mapping[str, str],
) -> Words:
    """Return the words of a launch, with the address of each input and without outputs.

    Args:
        job: What was launched.
        typed: The options of the launch itself, and of inputs and outputs, as they were typed.
        arguments: The words that were typed for the job.
        inputs: The addresses of inputs, by option.
    """
    channels = {channel.option for channel in (*job.inputs, *job.outputs)}
    groups = [[f"--{option}={address}"] for option, address in inputs.items()]
    hidden = []
    for option, value in typed:
        if option.removeprefix("--") in _ANEW | channels:
            continue
        if option == "--env" and runtime.is_secret(key := (value or "").partition("=")[0]):
            hidden.append(f"--env {key}")
        else:
            groups.append([option if value is None else f"{option}={value}"])
    shown, secrets = without_secrets(job, arguments)
    return Words([*groups, *shown], [*dict.fromkeys(hidden), *secrets])


def of_request(job: Job, request: Mapping[str, Any]) -> Words:
    """Return the words that result in a request to SageMaker.

    Fields without an option, such as the network or a number of instances for each type, come from
    the current ``launch.toml``. Addresses that another step of a pipeline writes are left out.
    """
    groups = [["--backend=sagemaker"]]
    options = {channel.name: channel.option for channel in job.inputs}
    for item in request.get("ProcessingInputs", []):
        option, source = options.get(item["InputName"]), item.get("S3Input", {})
        if option is None or not isinstance(source.get("S3Uri"), str):
            continue
        groups.append([f"--{option}={source['S3Uri'].rstrip('/')}"])
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            groups.append([f"--shard={option}"])
    groups += [[f"--{name}={value}"] for name, value in cluster.to_options(request).items()]
    if code.digest(request):
        groups.append(["--code"])
    fingerprints = {f"FINGERPRINT_{option.upper()}" for option in options.values()}
    hidden = []
    for key, value in code.own_environment(request).items():
        if key in fingerprints:
            continue
        if runtime.is_secret(key):
            hidden.append(f"--env {key}")
        else:
            groups.append([f"--env={key}={value}"])
    arguments = request.get("AppSpecification", {}).get("ContainerArguments", [])
    shown, secrets = without_secrets(job, arguments)
    return Words([*groups, *shown], [*hidden, *secrets])


def without_secrets(job: Job, arguments: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Return the options of a job without its secret ones, and the names of these."""
    kept: list[Group] = []
    hidden: dict[str, str] = {}
    for option in runtime.split_options(arguments, job.build_parser().actions):
        if option.is_secret and any([option.value, *option.values]):
            kept += [[flag] for flag in option.flags]
            hidden.setdefault(option.action.dest if option.action else option.name, option.name)
        else:
            kept += _groups(option)
    return kept, list(hidden.values())


def hide(request: Mapping[str, Any], actions: Sequence[argparse.Action]) -> dict[str, Any]:
    """Return a request with ``***`` for the values of secret options and variables.

    Args:
        request: A request, or a part of one.
        actions: The options of the job; an unknown option is treated as secret.
    """
    shown = dict(request)
    if environment := request.get("Environment"):
        shown["Environment"] = {
            key: "***" if runtime.is_secret(key) else value for key, value in environment.items()
        }
    application = request.get("AppSpecification", {})
    if arguments := application.get("ContainerArguments"):
        hidden = {"ContainerArguments": runtime.hide_secrets(arguments, actions)}
        shown["AppSpecification"] = {**application, **hidden}
    return shown


def _groups(option: runtime.TypedOption) -> list[Group]:
    """Return an option in the form that separates its name from its values."""
    flags = [[flag] for flag in option.flags]
    if not option.name:
        return [option.values]
    own = option.name if option.value is None else f"{option.name}={option.value}"
    return [*flags, [own, *option.values]]


def _name(group: Group) -> str:
    return group[0].partition("=")[0]


def _value(group: Group) -> str:
    """Return the first value of an option; empty if it has none."""
    return group[1] if len(group) > 1 else group[0].partition("=")[2]


def _is_given(hidden: str, named: Collection[str], variables: Collection[str]) -> bool:
    """Return whether changes set a hidden option, for its job in a pipeline or for all."""
    option, _, variable = hidden.partition(" ")
    if variable:
        return hidden in variables or f"{_shared(option)} {variable}" in variables
    return option in named or _shared(option) in named


def _shared(option: str) -> str:
    """Return an option without the name of a job in a pipeline."""
    return option.partition(".")[0]


def _with_job(word: str, job: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name}.{job}{equals}{value}"
