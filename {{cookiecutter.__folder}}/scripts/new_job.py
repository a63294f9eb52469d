"""Add a job: create its files from ``scripts/skeleton/`` and add it to ``launch.toml``."""

import importlib.util
import keyword
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import tomlkit

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the folder that contains launch/

from launch.aws import limits
from launch.requests import jobs, options
from launch.settings import config, names, project
from launch.settings.project import ROOT, LaunchError

PACKAGE = next(ROOT.glob("src/*/runtime")).parent.name


@dataclass(frozen=True)
class Input:
    """The input of the new job."""

    channel: str
    writer: str | None
    """The job that writes it; ``None`` if no job does."""

    @property
    def placeholders(self) -> Mapping[str, str]:
        """The values of the placeholders for the input."""
        return {
            "input_channel": self.channel,
            "input_help": f"folder written by {self.writer}" if self.writer else "folder of files",
            "input_type": "finished_output" if self.writer else "existing_dir",
        }


def find_input(existing: Sequence[jobs.Job], channel: str) -> Input:
    """Return the input to read; by default the first output of the last job that has outputs.

    Raises:
        LaunchError: No job writes the channel.
    """
    writers = {output: job.name for job in existing for output in job.output_names}
    if channel in writers:
        return Input(channel, writers[channel])
    if channel:
        advice = names.advice(channel, writers)
        raise LaunchError(f"no job in {config.FILE} writes an output {channel!r}{advice}")
    defaults = [job.output_names[0] for job in existing if job.outputs]
    return Input(defaults[-1], writers[defaults[-1]]) if defaults else Input("raw", None)


def check_name(name: str, paths: Sequence[str], existing: Sequence[jobs.Job]) -> None:
    """Check that a new job can have this name.

    Raises:
        LaunchError: The name is taken, or cannot be used for another reason.
    """
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise LaunchError(
            "a name must be lower-case words joined by underscores: make job NAME=evaluate_model"
        )
    if name.startswith("test"):
        raise LaunchError("pytest would collect a name with `test` in front: choose another name")
    if name in names.VERBS:
        raise LaunchError(f"`{project.COMMAND} {name}` has another meaning: choose another name")
    spec = importlib.util.find_spec(name)
    if keyword.iskeyword(name) or (spec and spec.origin):
        raise LaunchError("this is a module or keyword of Python: choose another name")
    taken = [path for path in (*paths, f"src/{PACKAGE}/{name}") if (ROOT / path).exists()]
    taken += [f"an output of {job.name}" for job in existing if name in job.output_names]
    if taken:
        raise LaunchError(f"{taken[0]} has this name: choose another name")
    launched = options.launch_name(name, options.new_id())
    try:
        limits.check("CreateProcessingJob", {"ProcessingJobName": launched})
    except LaunchError as error:
        raise LaunchError(f"{error}: choose a shorter name than in {launched}") from error


def fill_in(path: str, skeleton: str, placeholders: Mapping[str, str]) -> str:
    """Return the content of a new file: the skeleton with its placeholders replaced."""
    text = (ROOT / "scripts" / "skeleton" / skeleton).read_text(encoding="utf-8")
    text = re.sub("|".join(placeholders), lambda match: placeholders[match.group()], text)
    # A long name may need a line break.
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", path, "-"]
    done = subprocess.run(ruff, input=text, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def add_to_table(name: str) -> bytes:
    """Return the content of ``launch.toml`` with the job added at the end of the pipeline."""
    file = ROOT / config.FILE
    text = file.read_bytes().decode("utf-8-sig") if file.exists() else ""
    table = tomlkit.parse(text)
    pipeline = table.setdefault("pipeline", tomlkit.table())
    pipeline.setdefault("jobs", tomlkit.array()).append(name)
    return tomlkit.dumps(table).encode()


def write(files: Mapping[str, str], table: bytes) -> None:
    """Write the new files and ``launch.toml``. If one cannot be written, nothing is changed."""
    target = (ROOT / config.FILE).resolve()  # it may be a symbolic link
    draft = target.with_name(f"{target.name}.new")
    written = [draft]
    try:
        draft.write_bytes(table)
        for path, text in files.items():
            file = ROOT / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                written.append(file)
                stream.write(text)
        draft.replace(target)
    except BaseException:
        for file in written:
            with suppress(OSError):
                file.unlink()
        raise


def add_job(name: str, channel: str) -> str:
    """Add a job and return what to do next.

    Args:
        name: The name of the job.
        channel: The output of another job to read; empty for the default.

    Raises:
        LaunchError: The job cannot be added; nothing was changed.
    """
    existing = [jobs.read(each) for each in config.jobs()]
    skeletons = {
        f"entrypoints/{name}.py": "entrypoint.py",
        f"src/{PACKAGE}/{name}.py": "handler.py",
        f"tests/jobs/test_{name}.py": "test.py",
    }
    check_name(name, list(skeletons), existing)
    source = find_input(existing, channel)
    placeholders = {
        "Skeleton": name.title().replace("_", ""),
        "skeleton": name,
        "package": PACKAGE,
        **source.placeholders,
    }
    files = {path: fill_in(path, file, placeholders) for path, file in skeletons.items()}
    write(files, add_to_table(name))
    lines = [*files, f"{config.FILE}: {name} is now the last job of the pipeline", ""]
    if source.writer:
        lines += [f"The job reads the output {source.channel} of {source.writer}. Next:"]
    else:
        lines += [
            f"No job writes its input. Set the address of the input in {config.FILE}:",
            "",
            f"  [inputs.{name}]",
            '  input_path = "data/FOLDER"',
            "",
            "Next:",
        ]
    lines += ["", "  make check", "  make run", f"  {project.COMMAND} {name} --help"]
    return "\n".join(lines)


def main(name: str, channel: str = "") -> None:
    try:
        print(add_job(name, channel))
    except (LaunchError, OSError) as error:
        sys.exit(f"make job: {name or 'NAME'}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
