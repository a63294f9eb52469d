"""Measure the generated project's image against the blog post's Dockerfile, in one run.

``python benchmarks/image.py`` prints the table of ratios. It needs a Docker engine, empties the
engine's cache mounts and takes about ten minutes. Times are wall seconds: medians of repetitions
that take turns.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from timing import generate

HERE = Path(__file__).resolve().parent
VERSION = next(HERE.parent.glob("*cookiecutter*/.python-version")).read_text().strip()
BASE, OURS, BLOG = f"python:{VERSION}-slim", "benchmark/ours", "benchmark/blog"
LABEL = "benchmark=image"
BUILDX = ("docker", "buildx", "build", "--output", "type=docker", "--label", LABEL)
MARK = "files:"
"""What preprocess logs first of all once its handler runs."""

Timed = Callable[[], float]
Row = tuple[str, float, float, float]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            project = generate(Path(folder))
            run("make", "-C", project, ".tools/installed")
            rows = measure(project)
        finally:
            built = output("docker", "image", "ls", "--quiet", "--filter", f"label={LABEL}").split()
            if built:
                run("docker", "image", "rm", "--force", *set(built))
    print("| | ratio | goal | ours | baseline |\n|---|---|---|---|---|")
    for what, goal, ours, baseline in rows:
        print(f"| {what} | {ours / baseline:.2f} | {goal:.2f} | {ours:.2f} | {baseline:.2f} |")


def measure(project: Path) -> list[Row]:
    """Rows of what was measured, the goal for its ratio, our figure and the baseline's."""
    ours = partial(build, project, project / "Dockerfile", OURS)
    blog = partial(build, project, HERE / "blog.Dockerfile", BLOG)
    source = next(project.glob("src/*/model.py"))
    cold = compare(partial(ours, "--no-cache"), partial(blog, "--no-cache"), empty_cache_mounts, 3)
    edited = compare(ours, blog, partial(append_line, source))
    sizes = (megabytes_above_base(OURS), megabytes_above_base(BLOG))
    starts = compare(partial(start_of_job, project), start_of_imports, lambda: None, 7)
    add_dependency(project, "tabulate")
    locked = compare(ours, blog, partial(append_line, project / "poetry.lock"))
    return [
        ("compressed size above the base, MB", 0.60, *sizes),
        ("rebuild after an edit in `src/`, s", 0.60, *edited),
        ("rebuild after adding one small dependency, s", 0.50, *locked),
        ("cold build, empty caches, s", 1.00, *cold),
        ("start until the handler's first line, over its imports, s", 1.15, *starts),
    ]


def compare(
    ours: Timed, baseline: Timed, prepare: Callable[[], None], repeat: int = 5
) -> tuple[float, float]:
    """The median of each, both run ``repeat`` times after ``prepare``."""
    times: list[tuple[float, float]] = []
    for _ in range(repeat):
        prepare()
        times.append((ours(), baseline()))
        print(f"{times[-1][0]:8.2f}{times[-1][1]:8.2f}", file=sys.stderr)
    return median(one for one, _ in times), median(other for _, other in times)


def build(project: Path, recipe: Path, image: str, *options: str) -> float:
    """Build with what the baseline's Poetry needs to find a mirror; the other recipe ignores it."""
    python = str(project / ".tools" / "bin" / "python")
    settings = output(python, "-m", "pip", "install", "--help", COLUMNS="1000")
    index = re.search(r"\(default (http[^)]+)\)", settings)
    mirror = f"POETRY_PYPI_MIRROR_URL={index[1] if index else ''}"
    values = (mirror, f"BASE_IMAGE={BASE}", f"SOURCE_COMMIT={time.time_ns()}")
    arguments = [word for value in values for word in ("--build-arg", value)]
    return seconds(*BUILDX, *arguments, "--file", recipe, "--tag", image, *options, project)


def add_dependency(project: Path, name: str) -> None:
    file = project / "pyproject.toml"
    text = file.read_text().replace("\ndependencies = [", f'\ndependencies = [\n    "{name}",')
    file.write_text(text)
    run("make", "-C", project, "lock")


def append_line(file: Path) -> None:
    """Make the file one that no build has seen."""
    with file.open("a") as text:
        text.write(f"# {time.time_ns()}\n")


def empty_cache_mounts() -> None:
    run("docker", "builder", "prune", "--force", "--filter", "type=exec.cachemount")


def megabytes_above_base(image: str) -> float:
    """Size of the layers on top of the base, compressed as for a push."""
    base = int(output("docker", "image", "inspect", "--format", "{{len .RootFS.Layers}}", BASE))
    with tempfile.TemporaryFile() as file:
        run("docker", "save", image, stdout=file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            layers = json.load(member(archive, "manifest.json"))[0]["Layers"][base:]
            return sum(compressed_size(member(archive, layer)) for layer in layers) / 1e6


def member(archive: tarfile.TarFile, name: str) -> Any:
    return archive.extractfile(name)


def compressed_size(layer: Any) -> int:
    compressor = zlib.compressobj()
    chunks = iter(lambda: layer.read(1 << 20), b"")
    return sum(len(compressor.compress(chunk)) for chunk in chunks) + len(compressor.flush())


def start_of_job(project: Path) -> float:
    data = f"{project}/data/penguins:/opt/ml/processing/input/raw:ro"
    return until_mark("--volume", data, OURS, "entrypoints/preprocess.py")


def start_of_imports() -> float:
    """``python -c pass`` with the imports that preprocess needs before its handler runs."""
    package = output("docker", "run", "--rm", "--entrypoint", "ls", OURS, "src").strip()
    imports = f"from {package} import runtime, preprocessing; print('{MARK}')"
    return until_mark(OURS, "-c", imports)


def until_mark(*arguments: str) -> float:
    """Seconds from the start of a container to the line of its output that has the mark."""
    started = time.perf_counter()
    with subprocess.Popen(("docker", "run", "--rm", *arguments), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        seen = [time.perf_counter() for line in process.stdout if MARK.encode() in line]
    return seen[0] - started


def seconds(*command: str | Path) -> float:
    started = time.perf_counter()
    run(*command)
    return time.perf_counter() - started


def run(*command: str | Path, stdout: Any = subprocess.DEVNULL) -> None:
    subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, check=True)


def output(*command: str, **env: str) -> str:
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}\n{(error.stderr or b'').decode()[-2000:]}")
