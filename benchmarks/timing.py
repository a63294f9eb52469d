"""What the benchmarks share: the default project, and a comparison of commands that is fair."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COOKIECUTTER = (sys.executable, "-m", "cookiecutter", "--no-input", "--default-config")


def shell(folder: Path, *command: str | Path, **variables: str) -> str:
    """Run a command that must succeed, as on a user's machine, and return what it prints.

    What it prints is shown if it fails.
    """
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env |= variables
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def generate(folder: Path) -> Path:
    """Generate the default project in an empty folder."""
    shell(folder, *COOKIECUTTER, "--output-dir", folder, REPOSITORY)
    (project,) = folder.iterdir()
    return project


def compare(cases: Mapping[str, Callable[[], object]], baseline: str, rounds: int) -> None:
    """Time the cases in turn after one round that does not count, and print a Markdown table.

    A case that returns a number has measured its own seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            started = time.perf_counter()
            measured = case()
            elapsed = measured if isinstance(measured, float) else time.perf_counter() - started
            if number:
                seconds[name].append(elapsed)
    print("| | median s | min | max | ratio |\n|---|---:|---:|---:|---:|")
    for name, times in seconds.items():
        pairs = zip(times, seconds[baseline], strict=True)
        ratio = statistics.median(own / other for own, other in pairs)
        median = statistics.median(times)
        print(f"| {name} | {median:.2f} | {min(times):.2f} | {max(times):.2f} | {ratio:.2f} |")
