"""What `--backend docker` costs.

    python benchmarks/docker.py

It needs a Docker engine and takes some minutes. The last column is the ratio to the first row. The
first table runs `preprocess` on the penguins: by plain `docker run` with the same mounts, and by
`launch`, which also checks, records and publishes. Goal: at most 1.8. The second one runs it on
eight hosts, over one. Goal: at most 3.3.
"""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from timing import compare, generate, shell

ROUNDS = 9
JOB = "preprocess"
DATA = "data/penguins"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        shell(project, "make", ".venv/runtime")
        image = shell(project, "make", "image").split()[-1]
        try:
            launches(project, image)
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


if __name__ == "__main__":
    main()
