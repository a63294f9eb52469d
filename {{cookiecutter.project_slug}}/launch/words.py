"""The options of a launch as words that repeat it, without the values of its secrets."""

import argparse
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from {{ cookiecutter.__package_name }} import runtime

from .jobs import Job
from .project import LaunchError

_OPTION = re.compile(r"--?[^\W\d]")
"""The beginning of an option, unlike that of a negative number."""

_ANEW = {"run_name", "wait", "no-wait", "plan"}
"""Options that belong to one launch and not to what it launches."""

_ADDED = ("--env", "--shard")
"""Options that may be repeated: a further one does not replace those before it."""


@dataclass(frozen=True)
class Words:
    """A command line without its job."""

    words: Sequence[str]
    hidden: Sequence[str] = ()
    """Options that are missing because their values are secret: ``--key``, or ``--env KEY``."""

    def change(self, changes: Sequence[str], aliases: Mapping[str, set[str]]) -> list[str]:
        """Return the words with changes, each of which replaces the option that it names.

        Args:
            changes: Options and their values. In a pipeline, an option without the name of a job
                replaces those of all jobs.
            aliases: All names of an option, by each of them.

        Raises:
            LaunchError: The value of a secret option is missing.
        """
        groups = list(_groups(changes))
        named = {name for option, _ in groups for name in aliases.get(option, {option})}
        variables = {f"{option} {key}" for option, key in _settings(groups)}
        missing = [option for option in self.hidden if not _is_given(option, named, variables)]
        if missing:
            examples = [f"{option}{'=' if ' ' in option else ' '}VALUE" for option in missing]
            raise LaunchError(
                f"the values of secret options are not kept: add {' '.join(examples)} with the "
                "values that the job needs"
            )
        kept = [
            word
            for option, words in _groups(self.words)
            if _shared(option) in _ADDED or not named & {option, _shared(option)}
            for word in words
        ]
        return [*kept, *changes]

    def without_jobs(self, jobs: Collection[str]) -> "Words":
        """Return the words of a pipeline without the options of some jobs."""
        return Words(
            [
                word
                for option, words in _groups(self.words)
                if option.partition(".")[2] not in jobs
                for word in words
            ],
            [each for each in self.hidden if each.split(" ")[0].partition(".")[2] not in jobs],
        )

    def for_job(self, job: str) -> "Words":
        """Return the words of a job in a pipeline: ``--seed.fit``."""
        return Words(
            [
                _with_job(word, job) if index == 0 else word
                for _, words in _groups(self.words)
                for index, word in enumerate(words)
            ],
            [
                " ".join([f"{option.split(' ')[0]}.{job}", *option.split(" ")[1:]])
                for option in self.hidden
            ],
        )


def value(option: str, words: Iterable[str]) -> str:
    """Return the value of an option that takes one; empty if it is not there."""
    for found, group in _groups(words):
        if found == option:
            return group[1] if len(group) > 1 else group[0].partition("=")[2]
    return ""


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
    words = [f"--{option}={address}" for option, address in inputs.items()]
    hidden = []
    for option, value in typed:
        if option.removeprefix("--") in _ANEW | channels:
            continue
        if option == "--env" and runtime.is_secret(key := (value or "").partition("=")[0]):
            hidden.append(f"--env {key}")
        else:
            words.append(option if value is None else f"{option}={value}")
    shown, secrets = without_secrets(job, arguments)
    return Words([*words, *shown], [*hidden, *secrets])


def of_request(job: Job, request: Mapping[str, Any]) -> Words:
    """Return the words that make a request of SageMaker again.

    What has no option, such as the network, is taken from ``launch.toml`` as it is now. Addresses
    that another step of a pipeline writes are left out.
    """
    words = ["--backend=sagemaker"]
    options = {channel.name: channel.option for channel in job.inputs}
    for item in request.get("ProcessingInputs", []):
        option, source = options.get(item["InputName"]), item.get("S3Input", {})
        if option is None or not isinstance(source.get("S3Uri"), str):
            continue
        words.append(f"--{option}={source['S3Uri'].rstrip('/')}")
        if source.get("S3DataDistributionType") == "ShardedByS3Key":
            words.append(f"--shard={option}")
    cluster = request.get("ProcessingResources", {}).get("ClusterConfig", {})
    values = {
        "instance_count": cluster.get("InstanceCount"),
        "instance_type": cluster.get("InstanceType"),
        "volume_size_in_gb": cluster.get("VolumeSizeInGB"),
        "max_runtime_in_seconds": request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
    }
    words += [f"--{name}={value}" for name, value in values.items() if value is not None]
    fingerprints = {f"FINGERPRINT_{option.upper()}" for option in options.values()}
    hidden = []
    for key, value in request.get("Environment", {}).items():
        if key in fingerprints:
            continue
        if runtime.is_secret(key):
            hidden.append(f"--env {key}")
        else:
            words.append(f"--env={key}={value}")
    arguments = request.get("AppSpecification", {}).get("ContainerArguments", [])
    shown, secrets = without_secrets(job, arguments)
    return Words([*words, *shown], [*hidden, *secrets])


def without_secrets(job: Job, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of a job without its secret options, and the names of these."""
    shown = runtime.hide_secrets(arguments, job.build_parser().actions)
    secret = {index for index, word in enumerate(shown) if word != arguments[index]}
    kept: list[str] = []
    hidden: list[str] = []
    index = 0
    for option, words in _groups(arguments):
        indices = range(index, index + len(words))
        index += len(words)
        if secret.isdisjoint(indices):
            kept += words
        else:
            hidden.append(option)
    return kept, hidden


def hide(request: Mapping[str, Any], actions: Sequence[argparse.Action]) -> dict[str, Any]:
    """Return a request with ``***`` for the values of secret options and variables.

    Args:
        request: A request, or a part of one.
        actions: The options of the job; an option that is not among them is taken for secret.
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


def _groups(words: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each option and its words, the option's own the first of them."""
    option, group = "", list[str]()
    for word in words:
        if _OPTION.match(word):
            if group:
                yield option, group
            option, group = word.partition("=")[0], []
        group.append(word)
    if group:
        yield option, group


def _settings(groups: Iterable[tuple[str, list[str]]]) -> Iterator[tuple[str, str]]:
    """Yield ``--env``, with the name of a job in a pipeline, and the variable that it sets."""
    for option, words in groups:
        if _shared(option) == "--env":
            setting = words[1] if len(words) > 1 else words[0].partition("=")[2]
            yield option, setting.partition("=")[0]


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
