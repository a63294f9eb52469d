"""What `--backend docker` costs, and how soon a container does its work.

    python benchmarks/docker.py

It needs a Docker engine and takes some minutes. The last column is the ratio to the first row. The
first table runs `preprocess` on the penguins: by plain `docker run` with the same mounts, and by
`launch`, which also checks, records and publishes. Goal: at most 1.8. The second one runs it on
eight hosts, over one. Goal: at most 3.3. The third one is the time from the start of a container to
the first line of the handler, over that of a Python that only imports what the handler needs. Goal:
1.05.
"""

import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from timing import compare, generate, shell

ROUNDS = 9
JOB = "preprocess"
DATA = "data/penguins"
MARK = "read:"
"""What preprocess logs first of all once its handler runs."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        shell(project, "make", ".venv/runtime")
        image = shell(project, "make", "image").split()[-1]
        try:
            launches(project, image)
            starts(project, image)
        finally:
            found = shell(project, "docker", "image", "ls", "--quiet", project.name)
            shell(project, "docker", "image", "rm", "--force", *set(found.split()))


def mounts(project: Path) -> tuple[str, ...]:
    source = f"type=bind,source={project / DATA},target=/opt/ml/processing/input/raw,readonly"
    return "--mount", source, "--mount", "type=volume,target=/opt/ml/processing/output/dataset"


def launches(project: Path, image: str) -> None:
    """Compare launches on one host and on eight with a container that does the same work."""
    python = project / ".venv" / "bin" / "python"
    entrypoint = f"entrypoints/{JOB}.py"

    def containers(count: int) -> None:
        command = ("docker", "run", "--rm", *mounts(project), image, entrypoint)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda _: shell(project, *command), range(count)))

    def launch(hosts: int) -> None:
        words = ("--backend", "docker", "--input_path", DATA, "--instance_count", str(hosts))
        shell(project, python, "-m", "launch", JOB, *words)

    print("\nA job in containers, over `docker run`\n")
    compare(
        {
            "docker run": lambda: containers(1),
            "launch, 1 host": lambda: launch(1),
        },
        baseline="docker run",
        rounds=ROUNDS,
    )
    print("\nEight hosts, over one\n")
    compare(
        {
            "launch, 1 host": lambda: launch(1),
            "launch, 8 hosts": lambda: launch(8),
            "8 docker run, side by side": lambda: containers(8),
        },
        baseline="launch, 1 host",
        rounds=ROUNDS,
    )


def starts(project: Path, image: str) -> None:
    """Compare the start of a job with that of a Python that imports what its handler needs."""
    (package,) = (file.name for file in (project / "src").iterdir() if file.is_dir())
    imports = f"from {package} import runtime, preprocessing; print('{MARK}')"
    print("\nStart until the handler's first line, over its imports\n")
    compare(
        {
            "imports": lambda: until_mark(*mounts(project), image, "-c", imports),
            "job": lambda: until_mark(*mounts(project), image, f"entrypoints/{JOB}.py"),
        },
        baseline="imports",
        rounds=ROUNDS,
    )


def until_mark(*arguments: str) -> float:
    """Return the seconds from the start of a container to the line that has the mark."""
    command = ("docker", "run", "--rm", *arguments)
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        seen = [time.perf_counter() for line in process.stdout if MARK.encode() in line]
    if not seen:
        raise SystemExit(f"{' '.join(command)}: no line with {MARK}")
    return seen[0] - started


if __name__ == "__main__":
    main()
