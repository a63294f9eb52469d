"""Measure the generated project's image against two other recipes, in one run.

``python benchmarks/image.py [ROUNDS]`` prints the table of ratios. The baselines are the blog
post's Dockerfile (``blog.Dockerfile``) and the pattern of uv's documentation (``uv.Dockerfile``),
with the same packages in the same versions. It needs a Docker engine on Linux, empties the engine's
cache mounts and takes about ten minutes. Times are wall seconds: medians of the rounds (3 if no
number is given), in which the recipes take turns.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from timing import generate

HERE = Path(__file__).resolve().parent
VERSION = next(HERE.parent.glob("*cookiecutter*/.python-version")).read_text().strip()
OFFICIAL = f"python:{VERSION}-slim"
BASE, UV = "benchmark/base", "benchmark/uv"
NAMES = ("benchmark/ours", "benchmark/blog", "benchmark/uv-sync")
LABEL = "benchmark=image"
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
BUILDX = ("docker", "buildx", "build", "--output", "type=docker", "--label", LABEL)

Build = Callable[..., float]
Row = tuple[str, Sequence[float]]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            project = generate(Path(folder))
            run("make", "-C", project, ".tools/installed")
            os.environ["PACKAGE_INDEX"] = index(project)
            rows = measure(project, Path(folder) / "uv")
        finally:
            built = output("docker", "image", "ls", "--quiet", "--filter", f"label={LABEL}").split()
            if built:
                run("docker", "image", "rm", "--force", *set(built))
    print("| | ours | blog post | uv sync | over the blog post | over uv sync |")
    print("|---|---:|---:|---:|---:|---:|")
    for what, (ours, blog, uv) in rows:
        print(
            f"| {what} | {ours:.2f} | {blog:.2f} | {uv:.2f} | {ours / blog:.2f} | {ours / uv:.2f} |"
        )


def measure(project: Path, other: Path) -> list[Row]:
    """Rows of what was measured, and the figures of our recipe and of the baselines."""
    make_base_image(project)
    make_uv_image(project)
    make_uv_project(project, other)
    ours, blog, uv = builds = (
        partial(build, project, project / "Dockerfile", NAMES[0]),
        partial(build, project, HERE / "blog.Dockerfile", NAMES[1]),
        partial(build, other, HERE / "uv.Dockerfile", NAMES[2]),
    )
    cold = compare([partial(each, "--no-cache") for each in builds], empty_cache_mounts)

    def edit() -> None:
        for folder in (project, other):
            append_line(next(folder.glob("src/*/model.py")))

    for name in NAMES:
        run("docker", "tag", name, f"{name}:before")
    edited = compare([ours, blog, uv], edit)
    sizes = [megabytes_above_base(name) for name in NAMES]
    pushed = [megabytes_of_last_layers(name) for name in NAMES]
    add_dependency(project, "tabulate")
    make_uv_project(project, other)

    def lock() -> None:
        append_line(project / "poetry.lock")
        append_line(other / "uv.lock")

    locked = compare([ours, blog, uv], lock)
    return [
        ("compressed size above the base, MB", sizes),
        ("compressed size of what an edit in `src/` changes, MB", pushed),
        ("rebuild after an edit in `src/`, s", edited),
        ("rebuild after adding one small dependency, s", locked),
        ("cold build, empty caches, s", cold),
    ]


def compare(cases: Sequence[Build], prepare: Callable[[], None]) -> list[float]:
    """The median of each, all run ``ROUNDS`` times after ``prepare``, which they share."""
    times: list[list[float]] = []
    for _ in range(ROUNDS):
        times.append([])
        for case in cases:
            prepare()
            times[-1].append(case())
        print("".join(f"{each:8.2f}" for each in times[-1]), file=sys.stderr)
    return [median(column) for column in zip(*times, strict=True)]


def index(project: Path) -> str:
    """The package index that pip uses here."""
    return output(f"{project}/scripts/index.sh", f"{project}/.tools/bin/python").strip()


def build(context: Path, recipe: Path, image: str, *options: str) -> float:
    """Build with all that any of the recipes takes; each ignores what it does not know."""
    mirror = f"POETRY_PYPI_MIRROR_URL={os.environ['PACKAGE_INDEX']}"
    values = (mirror, f"BASE_IMAGE={BASE}", f"SOURCE_COMMIT={time.time_ns()}", f"UV={UV}")
    arguments = [word for value in values for word in ("--build-arg", value)]
    arguments += ["--secret", "id=index,env=PACKAGE_INDEX"]
    return seconds(*BUILDX, *arguments, "--file", recipe, "--tag", image, *options, context)


def make_base_image(project: Path) -> None:
    """Tag the base image, with a pip where a stand-in for the official one has none."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = f"FROM {OFFICIAL}\n"
        has_pip = ("docker", "run", "--rm", OFFICIAL, "python", "-c", "import pip")
        if subprocess.run(has_pip, stderr=subprocess.DEVNULL, check=False).returncode:
            (pip,) = project.glob(".tools/lib/python*/site-packages/pip")
            shutil.copytree(pip, Path(folder) / "pip", ignore=shutil.ignore_patterns("__pycache__"))
            recipe += f"COPY pip /usr/local/lib/python{VERSION}/dist-packages/pip\n"
        (Path(folder) / "Dockerfile").write_text(recipe)
        run(*BUILDX, "--tag", BASE, folder)


def make_uv_image(project: Path) -> None:
    """Build what stands in for uv's own image, which is on no package index."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(project / ".tools" / "bin" / "uv", folder)
        (Path(folder) / "Dockerfile").write_text("FROM scratch\nCOPY uv /uv\n")
        run(*BUILDX, "--tag", UV, folder)


def make_uv_project(project: Path, folder: Path) -> None:
    """Make a project of the same source that uv locks, to the versions in ``poetry.lock``."""
    for name in ("entrypoints", "src"):
        shutil.copytree(project / name, folder / name, dirs_exist_ok=True)
    metadata = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    python = f"{project}/.tools/bin/python"
    export = ("export", "--only", "main", "--without-hashes")
    exported = output(python, "-m", "poetry", "--directory", str(project), *export).splitlines()
    versions = [line for line in exported if re.match(r"\w", line)]
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "{metadata["name"]}"\nversion = "0.1.0"\n'
        f'requires-python = "{metadata["requires-python"]}"\n'
        f"dependencies = {json.dumps(metadata['dependencies'])}\n"
        f"[tool.uv]\npackage = false\nconstraint-dependencies = {json.dumps(versions)}\n"
    )
    (folder / "uv.lock").unlink(missing_ok=True)
    uv = (f"{project}/.tools/bin/uv", "lock", "--quiet", "--directory", str(folder))
    output(*uv, "--python", python, UV_DEFAULT_INDEX=os.environ["PACKAGE_INDEX"])


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
    base = len(layers(BASE))
    return sum(compressed_sizes(image)[base:])


def megabytes_of_last_layers(image: str) -> float:
    """Size of the layers that differ from those of the image before the last edit, compressed."""
    sizes = compressed_sizes(image)
    earlier = layers(f"{image}:before")
    return sum(
        size for size, layer in zip(sizes, layers(image), strict=True) if layer not in earlier
    )


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(
        output("docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
    )
    return found


def compressed_sizes(image: str) -> list[float]:
    """Megabytes of each layer, compressed as for a push."""
    with tempfile.TemporaryFile() as file:
        run("docker", "save", image, stdout=file)
        file.seek(0)
        with tarfile.open(fileobj=file) as archive:
            names = json.load(member(archive, "manifest.json"))[0]["Layers"]
            return [compressed_size(member(archive, name)) / 1e6 for name in names]


def member(archive: tarfile.TarFile, name: str) -> Any:
    return archive.extractfile(name)


def compressed_size(layer: Any) -> int:
    compressor = zlib.compressobj()
    chunks = iter(lambda: layer.read(1 << 20), b"")
    return sum(len(compressor.compress(chunk)) for chunk in chunks) + len(compressor.flush())


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
