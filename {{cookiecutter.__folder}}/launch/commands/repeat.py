"""Repeats an earlier launch, and prints what differs from it."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..history import command_lines, listing, recordings
from ..history.account import Account
from ..history.command_lines import Group, Words
from ..history.entries import PIPELINE, Entry
from ..pipelines import pipeline
from ..requests import cluster, jobs, options
from ..requests.options import Launch, LaunchParser
from ..run import Request
from ..settings import config, project
from ..settings.addresses import is_s3
from ..settings.project import COMMAND, LaunchError
from ..storage import code, s3

HELP = f"""\
usage: {COMMAND} again NAME [options]

Launch a job or a run of the pipeline again. `{COMMAND} list` lists the names.

The options are those of `{COMMAND} JOB` or `{COMMAND} pipeline`, and replace
those of the earlier launch."""


@dataclass(frozen=True)
class Repetition:
    """The command line that repeats a launch."""

    job: str
    """The name of the job, or ``pipeline``."""
    argv: Sequence[str]
    before: Mapping[str, Any]
    """The earlier launch: ``commit``, ``image``, ``code``, ``inputs`` and their ``content``."""

    def print_differences(self, launches: Sequence[tuple[Launch, Request]]) -> None:
        """Print to standard error what differs from the earlier launch, besides changed options."""
        lines = self.differences(launches) or [_same(launches)]
        print(*lines, sep="\n", file=sys.stderr, flush=True)

    def differences(self, launches: Sequence[tuple[Launch, Request]]) -> list[str]:
        """Return a line for each commit, image or input that differs from the earlier launch."""
        first, request = launches[0]
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        lines = _difference("commit", self.before.get("commit"), tags.get("commit"))
        if first.options.backend != "local":
            image = request["AppSpecification"]["ImageUri"]
            changed = _difference("image", self.before.get("image"), image)
            if changed:
                changed[0] += f" (--image {self.before['image']} runs the earlier image)"
            lines += changed
            codes = self.before.get("code", ""), code.digest(request)
            lines += _difference("code", *map(_describe_code, codes))
        for launch, request in launches:
            suffix = f".{launch.job.name}" if self.job == PIPELINE else ""
            lines += self._instance_difference(launch, request)
            for option in launch.inputs.keys() - launch.upstream.keys():
                lines += self._input_difference(option, suffix, launch, request)
        return lines

    def _instance_difference(self, launch: Launch, request: Request) -> list[str]:
        """Compare instances that options cannot set, unless other ones were requested."""
        old = self.before.get("instances", {}).get(launch.job.name)
        new = cluster.describe(request)
        if old in (None, new) or launch.is_typed("instance_type"):
            return []
        suffix = f".{launch.job.name}" if self.job == PIPELINE else ""
        return [
            f"instances{suffix}: {old} → {new} (options cannot set a number for each type: "
            f"write them into {config.FILE}, or choose with --instance_type{suffix})"
        ]

    def _input_difference(
        self, option: str, suffix: str, launch: Launch, request: Request
    ) -> list[str]:
        key = f"{option}{suffix}"
        old, new = self.before.get("inputs", {}).get(key), launch.inputs[option]
        if old is None:
            return [f"--{key}: {new} is new"]
        if old == new:
            content = self.before.get("content", {}).get(key, "")
            if content and content != recordings.content(new):
                return [f"--{key}: the files in {new} were changed since"]
            return []
        names = {channel.option: channel.name for channel in launch.job.inputs}
        for item in request.get("ProcessingInputs", []):
            if item["InputName"] == names[option] and item["S3Input"]["S3Uri"].rstrip("/") == old:
                return []  # a local folder with the content that was uploaded before
            if item["InputName"] == names[option] and launch.options.backend == "sagemaker":
                new = item["S3Input"]["S3Uri"].rstrip("/")
        return [f"--{key}: {old} → {new}"]


def prepare(argv: Sequence[str]) -> Repetition:
    """Return the command line that repeats a launch.

    Args:
        argv: The name of a job or run, and changes: options of the job or pipeline.

    Raises:
        LaunchError: There is no such job, what it was launched with is not known, or the values
            of secret options are missing.
    """
    if not argv or argv[0].startswith("-"):
        raise LaunchError(f"again: name a job or a run first: `{COMMAND} list` lists them")
    name, *changes = argv
    entry = listing.find(name)
    if entry.backend == "sagemaker":
        repeated, before = _from_sagemaker(entry)
    else:
        repeated, before = _from_history(entry)
    if entry.job != PIPELINE:
        actions = LaunchParser(jobs.read(entry.job)).actions
        changed = repeated.change(
            command_lines.split(changes, actions), _aliases({entry.job: actions})
        )
        return Repetition(entry.job, changed, before)
    own_actions, job_actions = pipeline.read_options()
    groups = _of_pipeline(changes, own_actions, job_actions)
    aliases = _aliases(job_actions)
    for action in own_actions:
        aliases |= {option: set(action.option_strings) for option in action.option_strings}
    changed = _without_effect(repeated, groups, entry.backend).change(groups, aliases)
    return Repetition(entry.job, changed, before)


def _without_effect(repeated: Words, changes: Sequence[Group], backend: str) -> Words:
    """Return the words of a pipeline without those that its launch would reject.

    If it begins with a later job than the first, it takes no options of the jobs before, except
    their inputs on SageMaker, and no limit of a metric that none of the others has. Results of
    earlier jobs exist only on the backend of the earlier launch.
    """
    groups, listed = [*repeated.options, *changes], config.jobs()
    first = command_lines.last_value(groups, "--from")
    without: set[str] = set()
    if command_lines.last_value(groups, "--backend") != backend:
        without |= {"--from", "--from_run"}
        first = command_lines.last_value(changes, "--from")
    skipped = listed[: listed.index(first)] if first in listed else []
    if not skipped:
        without.add("--from_run")
    if (metric := config.metric()) and metric.job in skipped:
        without.add(f"--{metric.option}")
    kept: set[str] = set()
    if command_lines.last_value(groups, "--backend") == "sagemaker":
        read = [jobs.read(name) for name in skipped]
        kept = {f"--{channel.option}.{job.name}" for job in read for channel in job.inputs}
    return repeated.without(without).without_jobs(skipped, kept)


def _of_pipeline(
    changes: Sequence[str],
    own: Sequence[argparse.Action],
    actions: Mapping[str, Sequence[argparse.Action]],
) -> list[Group]:
    """Return options of a pipeline, each with the name of its job if it was typed with it."""
    everywhere = [*own, *(action for each in actions.values() for action in each)]
    groups: list[Group] = []
    for _, job, each in pipeline.split(changes):
        typed = Words(command_lines.split(each, actions.get(job, everywhere)))
        groups += typed.for_job(job).options if job else typed.options
    return groups


def from_options(name: str, changes: Mapping[str, Any]) -> Repetition:
    """Like ``prepare``, from keyword arguments; those of one job of a pipeline are a mapping.

    Raises:
        LaunchError: See ``prepare``.
    """
    entry = listing.find(name)
    if entry.job != PIPELINE:
        return prepare([name, *options.to_argv(jobs.read(entry.job), changes)])
    own_actions, job_actions = pipeline.read_options()
    argv: list[str] = []
    for option, value in changes.items():
        if option in job_actions:
            if not isinstance(value, Mapping | None):
                raise LaunchError(f"argument {option}: the options of a job are a dictionary")
            argv += _for_job(option, value or {}, job_actions[option])
        elif _has(own_actions, option):
            argv += options.to_words(own_actions, {option: value})
        else:
            argv += _for_all_jobs(option, value, job_actions)
    return prepare([name, *argv])


def _has(actions: Sequence[argparse.Action], option: str) -> bool:
    return any(action.dest == option for action in actions)


def _for_all_jobs(
    option: str, value: Any, actions: Mapping[str, Sequence[argparse.Action]]
) -> Sequence[str]:
    """Return a keyword argument as words for all jobs of a pipeline that have the option."""
    having = [job for job, own in actions.items() if _has(own, option)]
    written = [options.to_words(actions[job], {option: value}) for job in having]
    if not having:  # the pipeline rejects it
        return options.to_words([], {option: value})
    if all(each == written[0] for each in written):
        return written[0]
    return [word for job in having for word in _for_job(job, {option: value}, actions[job])]


def _for_job(
    job: str, values: Mapping[str, Any], actions: Sequence[argparse.Action]
) -> Sequence[str]:
    """Return keyword arguments as words for one job of a pipeline."""
    return Words(command_lines.split(options.to_words(actions, values), actions)).for_job(job).words


def _aliases(actions: Mapping[str, Sequence[argparse.Action]]) -> dict[str, set[str]]:
    """Return all names of an option by each of them; with the name of a job, those for the job."""
    aliases: dict[str, set[str]] = {}
    for job, own_actions in actions.items():
        for action in own_actions:
            for option in action.option_strings:
                aliases.setdefault(option, set()).update(action.option_strings)
                own = {f"{each}.{job}" for each in action.option_strings}
                aliases.setdefault(f"{option}.{job}", set()).update(own)
    return aliases


def _from_history(entry: Entry) -> tuple[Words, Mapping[str, Any]]:
    kept = recordings.request(entry)
    if "options" not in kept:
        raise LaunchError(
            f"{entry.short_name} was launched before launches were recorded: its record says with "
            f"which options; launch it with `{COMMAND} {entry.job}`"
        )
    return Words(kept["options"], kept.get("hidden", [])), kept


def _from_sagemaker(entry: Entry) -> tuple[Words, Mapping[str, Any]]:
    account = Account()
    if entry.job == PIPELINE:
        return _from_definition(account, entry)
    description = account.description(entry.name)
    if description is None:
        unread = "".join(f": {problem}" for problem in account.problems)
        raise LaunchError(f"SageMaker does not find {entry.short_name} any more{unread}")
    job = jobs.read(entry.job)
    before = {
        "commit": entry.commit,
        "image": description["AppSpecification"]["ImageUri"],
        "code": code.digest(description),
        "inputs": _inputs(description, entry.job),
        "instances": _instances(description, entry.job),
    }
    return command_lines.of_request(job, description), before


def _from_definition(account: Account, entry: Entry) -> tuple[Words, Mapping[str, Any]]:
    """Return the words of an execution from the definition that it executed."""
    definition = account.definition(entry.arn)
    if "Steps" not in definition:
        unread = "".join(f": {problem}" for problem in account.problems)
        raise LaunchError(f"the definition of {entry.short_name} cannot be read{unread}")
    values = definition["Values"]
    kept = [["--backend=sagemaker"], *_of_execution(account, entry, definition)]
    hidden: list[str] = []
    inputs: dict[str, str] = {}
    instances: dict[str, str] = {}
    before: dict[str, Any] = {"inputs": inputs, "instances": instances}
    for step in definition["Steps"]:
        if step["Type"] != "Processing":
            continue
        request = _resolve(step["Arguments"], values)
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        job = tags.get("job", step["Name"])
        own = command_lines.of_request(jobs.read(job), request).for_job(job)
        shared = ([f"--backend.{job}=sagemaker"], [f"--code.{job}"])
        kept += [group for group in own.options if group not in shared]
        hidden += own.hidden
        instances |= _instances(request, job)
        inputs |= {f"{name}.{job}": uri for name, uri in _inputs(request, job).items()}
        before |= {
            "commit": tags.get("commit"),
            "image": request["AppSpecification"]["ImageUri"],
            "code": code.digest(request),
        }
    return Words(kept, hidden), before


def _of_execution(
    account: Account, entry: Entry, definition: Mapping[str, Any]
) -> list[Sequence[str]]:
    """Return the options of an execution that belong to no single job."""
    steps = [step for step in definition["Steps"] if step["Type"] == "Processing"]
    words: list[Sequence[str]] = []
    if any(code.digest(step["Arguments"]) for step in steps):
        words.append(["--code"])
    is_launched = entry.name.startswith(f"{project.name()}-launched/")
    if is_launched and not any("CacheConfig" in step for step in steps):
        words.append(["--no-cache"])
    if (metric := config.metric()) and metric.option in definition["Values"]:
        words.append([f"--{metric.option}={definition['Values'][metric.option]}"])
    described = account.call("describe_pipeline_execution", PipelineExecutionArn=entry.arn) or {}
    selective = described.get("SelectiveExecutionConfig", {})
    selected = {step["StepName"] for step in selective.get("SelectedSteps", [])}
    first = next((job for job in config.jobs() if job.replace("_", "-") in selected), "")
    if first:
        words.append([f"--from={first}"])
        if source := selective.get("SourcePipelineExecutionArn"):
            words.append([f"--from_run={source}"])
    return words


def _inputs(request: Mapping[str, Any], job: str) -> dict[str, str]:
    names = {channel.name: channel.option for channel in jobs.read(job).inputs}
    return {
        names[item["InputName"]]: item["S3Input"]["S3Uri"].rstrip("/")
        for item in request.get("ProcessingInputs", [])
        if item["InputName"] in names and isinstance(item["S3Input"].get("S3Uri"), str)
    }


def _instances(request: Mapping[str, Any], job: str) -> dict[str, str]:
    """Return the instances of a job as text if options cannot set them."""
    return {job: cluster.describe(request)} if cluster.has_several_counts(request) else {}


def _resolve(value: Any, parameters: Mapping[str, Any]) -> Any:
    """Return a part of a definition with the values of its parameters.

    What only an execution knows, such as the output of another step, stays as it is.
    """
    if isinstance(value, list):
        return [_resolve(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and "Get" in value:
        found = re.fullmatch(r"Parameters\.(.+)", value["Get"])
        return parameters.get(found[1], value) if found else value
    if len(value) == 1 and "Std:Join" in value:
        items = _resolve(value["Std:Join"]["Values"], parameters)
        if any(isinstance(item, dict) for item in items):
            return value
        return value["Std:Join"]["On"].join(map(str, items))
    return {key: _resolve(item, parameters) for key, item in value.items()}


def _same(launches: Sequence[tuple[Launch, Request]]) -> str:
    """Return a line for a launch without known differences; files in S3 are not compared."""
    in_s3 = any(
        is_s3(address) and not address.startswith(s3.inputs_address())
        for launch, _ in launches
        for option, address in launch.inputs.items()
        if option not in launch.upstream
    )
    if in_s3:
        return (
            "the commit, the image and the addresses of the inputs are the same; the files in S3 "
            "may have changed since"
        )
    return "the commit, the image and the inputs are the same"


def _describe_code(digest: str) -> str:
    return f"{digest[:12]} (--code)" if digest else "that of the image"


def _difference(what: str, old: Any, new: Any) -> list[str]:
    return [f"{what}: {old} → {new}"] if old and old != new else []
