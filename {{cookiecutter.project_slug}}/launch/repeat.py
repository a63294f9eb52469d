"""Launches again what was launched before, and says what differs from then."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import config, history, jobs, listing, options, words
from .account import Account
from .entries import PIPELINE, Entry
from .options import Launch, LaunchParser
from .project import COMMAND, LaunchError
from .run import Request
from .words import Words

USAGE = (
    f"`{COMMAND} again NAME [options]` launches the same again; the options are those of the job, "
    f"and replace what it had; `{COMMAND} list` lists the names"
)


@dataclass(frozen=True)
class Repetition:
    """The command line that launches something again."""

    job: str
    """The name of the job, or ``pipeline``."""
    argv: Sequence[str]
    before: Mapping[str, Any]
    """What was launched then: ``commit``, ``image``, ``inputs`` and their ``content``."""

    def print_differences(self, launches: Sequence[tuple[Launch, Request]]) -> None:
        """Print to standard error what differs from then besides the options that were changed."""
        lines = self.differences(launches) or ["the commit, the image and the inputs are the same"]
        print(*lines, sep="\n", file=sys.stderr, flush=True)

    def differences(self, launches: Sequence[tuple[Launch, Request]]) -> list[str]:
        """Return a line for each of commit, image and inputs that is not the same as then."""
        first, request = launches[0]
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        lines = _difference("commit", self.before.get("commit"), tags.get("commit"))
        if first.options.backend != "local":
            image = request["AppSpecification"]["ImageUri"]
            changed = _difference("image", self.before.get("image"), image)
            if changed:
                changed[0] += f" (--image {self.before['image']} runs that of then)"
            lines += changed
        for launch, request in launches:
            suffix = f".{launch.job.name}" if self.job == PIPELINE else ""
            for option in launch.inputs.keys() - launch.upstream.keys():
                lines += self._input_difference(option, suffix, launch, request)
        return lines

    def _input_difference(
        self, option: str, suffix: str, launch: Launch, request: Request
    ) -> list[str]:
        key = f"{option}{suffix}"
        old, new = self.before.get("inputs", {}).get(key), launch.inputs[option]
        if old is None:
            return [f"--{key}: {new} is new"]
        if old == new:
            content = self.before.get("content", {}).get(key, "")
            if content and content != history.content(new):
                return [f"--{key}: the files in {new} were changed since"]
            return []
        names = {channel.option: channel.name for channel in launch.job.inputs}
        for item in request.get("ProcessingInputs", []):
            if item["InputName"] == names[option] and item["S3Input"]["S3Uri"].rstrip("/") == old:
                return []  # a local folder with the content that was uploaded then
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
        raise LaunchError(f"again: name a job or a run first: {USAGE}")
    name, *changes = argv
    entry = listing.find(name)
    if entry.backend == "sagemaker":
        repeated, before = _from_sagemaker(entry)
    else:
        repeated, before = _from_history(entry)
    listed = jobs.names() if entry.job == PIPELINE else [entry.job]
    if entry.job == PIPELINE:
        repeated = repeated.without_jobs(_skipped(changes))
    return Repetition(entry.job, repeated.change(changes, _aliases(listed)), before)


def _skipped(changes: Sequence[str]) -> Sequence[str]:
    """Return the jobs before that of ``--from``, whose options a launch does not take."""
    first = words.value("--from", changes)
    listed = config.jobs()
    return listed[: listed.index(first)] if first in listed else ()


def from_options(name: str, changes: Mapping[str, Any]) -> Repetition:
    """Like ``prepare``, from keyword arguments; those of one job of a pipeline are a mapping."""
    entry = listing.find(name)
    if entry.job != PIPELINE:
        return prepare([name, *options.to_argv(jobs.read(entry.job), changes)])
    argv: list[str] = []
    for option, value in changes.items():
        if isinstance(value, Mapping) and option in jobs.names():
            own = Words(options.to_argv(jobs.read(option), value)).for_job(option)
            argv += own.words
        elif isinstance(value, bool):
            argv.append(f"--{'' if value else 'no-'}{option}")
        elif isinstance(value, list | tuple):
            argv += [f"--{option}", *map(str, value)]
        elif value is not None:
            argv.append(f"--{option}={value}")
    return prepare([name, *argv])


def _aliases(listed: Sequence[str]) -> dict[str, set[str]]:
    """Return all names of an option by each of them; with the name of a job, those for the job."""
    aliases: dict[str, set[str]] = {}
    for job in listed:
        for action in LaunchParser(jobs.read(job)).actions:
            for option in action.option_strings:
                aliases.setdefault(option, set()).update(action.option_strings)
                own = {f"{each}.{job}" for each in action.option_strings}
                aliases.setdefault(f"{option}.{job}", set()).update(own)
    return aliases


def _from_history(entry: Entry) -> tuple[Words, Mapping[str, Any]]:
    kept = history.request(entry)
    if "words" not in kept:
        raise LaunchError(
            f"{entry.short_name} was launched before launches were kept: its record says with "
            f"which options; launch it with `{COMMAND} {entry.job}`"
        )
    return Words(kept["words"], kept.get("hidden", [])), kept


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
        "inputs": _inputs(description, entry.job),
    }
    return words.of_request(job, description), before


def _from_definition(account: Account, entry: Entry) -> tuple[Words, Mapping[str, Any]]:
    """Return the words of an execution from the definition that it executed."""
    definition = account.definition(entry.arn)
    if "Steps" not in definition:
        unread = "".join(f": {problem}" for problem in account.problems)
        raise LaunchError(f"the definition of {entry.short_name} cannot be read{unread}")
    values = definition["Values"]
    kept, hidden, inputs = ["--backend=sagemaker"], list[str](), dict[str, str]()
    before: dict[str, Any] = {"inputs": inputs}
    for step in definition["Steps"]:
        if step["Type"] != "Processing":
            continue
        request = _resolve(step["Arguments"], values)
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
        job = tags.get("job", step["Name"])
        own = words.of_request(jobs.read(job), request).for_job(job)
        kept += [word for word in own.words if word != f"--backend.{job}=sagemaker"]
        hidden += own.hidden
        inputs |= {f"{name}.{job}": uri for name, uri in _inputs(request, job).items()}
        before |= {"commit": tags.get("commit"), "image": request["AppSpecification"]["ImageUri"]}
    return Words(kept, hidden), before


def _inputs(request: Mapping[str, Any], job: str) -> dict[str, str]:
    names = {channel.name: channel.option for channel in jobs.read(job).inputs}
    return {
        names[item["InputName"]]: item["S3Input"]["S3Uri"].rstrip("/")
        for item in request.get("ProcessingInputs", [])
        if item["InputName"] in names and isinstance(item["S3Input"].get("S3Uri"), str)
    }


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


def _difference(what: str, old: Any, new: Any) -> list[str]:
    return [f"{what}: {old} → {new}"] if old and old != new else []
