"""How well the example's jobs use the machine, each against what it is compared with.

``python benchmarks/example.py ROW`` prints one of the tables of ``docs/scale.md``; the rows are the
functions in ``ROWS``. Both sides are measured in one run, in turn. A row takes 1 to 10 minutes and
up to 1.2 GB of the temporary folder. The data are the penguins, repeated with noise.

Measure ``files`` in a file system in memory (``TMPDIR=/dev/shm``): on a disk, creating files can
take longer if many were removed just before.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from scale import MAKE, Cost, join, link, preprocess, run
from timing import generate, shell

PYTHON = ".venv/bin/python"
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ROUNDS = 3
TABLE_ROWS = 18_000
"""Of a table of 1 MB."""

FLOOR = """
import sys
from pathlib import Path
import polars
from penguin_species.dataset import COLUMNS, FEATURES, NULL, TARGET

for file in Path(sys.argv[1]).iterdir():
    table = polars.scan_csv(
        file, infer_schema=False, schema_overrides=COLUMNS, null_values=[NULL]
    )
    table.select(TARGET, *FEATURES).sink_parquet(sys.argv[2], compression="snappy", mkdir=True)
"""
PANDAS = """
import sys
from pathlib import Path
import pandas

rows = pandas.concat([pandas.read_csv(file) for file in sorted(Path(sys.argv[1]).rglob("*.csv"))])
is_test = pandas.util.hash_pandas_object(rows, index=False) / 2**64 < 0.2
used = ["species", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
kept = rows[used].notna().all(axis="columns")
for name, side in (("train", ~is_test), ("test", is_test)):
    Path(sys.argv[2], name).mkdir(parents=True)
    rows.loc[kept & side, used].to_parquet(Path(sys.argv[2], name, "rows.parquet"), index=False)
print(f"kept {kept.sum()} of {len(rows)} rows")
"""
READING = """
import sys
import polars
from penguin_species import dataset

rows = polars.scan_csv(
    f"{sys.argv[1]}/*.csv",
    infer_schema=False,
    schema_overrides=dataset.COLUMNS,
    null_values=[dataset.NULL],
)
print(rows.select(polars.all().null_count()).collect(engine="streaming"))
"""
FITS = """
import sys, time
from pathlib import Path
from sklearn.model_selection import ParameterSampler, StratifiedKFold, cross_val_score
from penguin_species import dataset, model

def seconds(features, target):
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, target))
    for parameters in ParameterSampler(model.SEARCH_SPACE, 12, random_state=0):
        for fold in folds:
            started = time.thread_time()
            cross_val_score(model.build(parameters, 0), features, target, cv=[fold])
            yield time.thread_time() - started

features, target = dataset.load(Path(sys.argv[1], "train"))
fits = list(seconds(features, target))
serial = sum(seconds(features[:100], target[:100]))  # so few rows take next to no time themselves
print(f"{len(fits)} fits: {sum(fits):.1f} CPU s, the longest {max(fits):.2f} s; "
      f"Python's own part, one thread at a time: {serial:.1f} s")
print("| vCPUs | at most times as fast |", "|---:|---:|", sep="\\n")
for cpus in (2, 4, 16, 96):
    print(f"| {cpus} | {sum(fits) / max(sum(fits) / cpus, max(fits), serial):.1f} |")
"""
HANDLER = """
import sys, time
from pathlib import Path
from penguin_species.runtime.cpu_limit import limit_threads

limit_threads()  # as an entrypoint does, before it imports libraries
from penguin_species import training, tuning

dataset, output = map(Path, sys.argv[1:])
output.mkdir(parents=True)
started = time.perf_counter()
{run}
print(time.perf_counter() - started)
"""
TUNING = HANDLER.format(run="tuning.TuningHandler(12, folds=5, seed=0).run(dataset, output)")
TRAINING = HANDLER.format(run="training.TrainingHandler(seed=0).run(dataset, None, output)")
START = """
import os, statistics, subprocess, sys, time

JOB = '''
import os, runpy, sys
from penguin_species import preprocessing
preprocessing.PreprocessingHandler.run = lambda *_, **__: os._exit(0)
sys.argv = ["entrypoints/preprocess.py", "--input_path", "src", "--output_path", "/tmp/out"]
runpy.run_path(sys.argv[0], run_name="__main__")
'''
sides = {"job": JOB, "imports": "import os, penguin_species.preprocessing; os._exit(0)"}
seconds = {side: [] for side in sides}
for _ in range(15):
    for side, code in sides.items():
        started = time.perf_counter()
        subprocess.run([sys.executable, "-u", "-c", code], stdout=subprocess.DEVNULL, check=True)
        seconds[side].append(time.perf_counter() - started)
job, imports = (statistics.median(times[1:]) for times in seconds.values())
print("| start of preprocess, s | its imports, s | ratio | goal |\\n|---:|---:|---:|---:|")
print(f"| {job:.3f} | {imports:.3f} | {job / imports:.2f} | 1.05 |")
"""


def main() -> None:
    row = sys.argv[1] if len(sys.argv) == 2 else ""
    if row not in ROWS:
        raise SystemExit(f"Name one row: {', '.join(ROWS)}")
    with tempfile.TemporaryDirectory() as folder:
        project = generate(Path(folder))
        shell(project, "make", "install")
        ROWS[row](project, Path(folder))


def install_pandas(scratch: Path) -> Path:
    """A Python of its own, so that the project's has no pandas."""
    shell(scratch, sys.executable, "-m", "venv", "pandas")
    python = scratch / "pandas" / "bin" / "python"
    shell(scratch, python, "-m", "pip", "install", "--quiet", "pandas>=3,<4", "pyarrow")
    return python


def make(project: Path, tables: Mapping[Path, int]) -> None:
    """Make tables of so many rows."""
    sizes = json.dumps({str(table): rows for table, rows in tables.items()})
    shell(project, project / PYTHON, "-c", MAKE, sizes)


def make_dataset(project: Path, folder: Path, rows: int) -> Path:
    """A data set whose training side has about so many rows."""
    make(project, {folder / "raw" / "all.csv": round(rows / 0.8)})
    dataset = folder / "dataset"
    paths = ("--input_path", folder / "raw", "--output_path", dataset)
    shell(project, PYTHON, "entrypoints/preprocess.py", *paths)
    return dataset


Measured = tuple[float, dict[str, bytes]]
"""Seconds, and the files that were written."""


def job(project: Path, name: str, dataset: Path, cpus: int) -> Measured:
    """Run a job on so many CPUs."""
    folder = project / "out" / "benchmark"
    words = ("env", f"JOB_CPUS={cpus}", PYTHON, "-u", f"entrypoints/{name}.py")
    cost = run(project, *words, "--input_path", dataset, "--output_path", folder)
    return cost.seconds, take(folder)


def handler(project: Path, code: str, dataset: Path, cpus: int) -> Measured:
    """Run the handler of a job on so many CPUs, and time it without the start of Python."""
    folder = project / "out" / "benchmark"
    seconds = output(project, "env", f"JOB_CPUS={cpus}", PYTHON, "-c", code, dataset, folder)
    return float(seconds), take(folder)


def take(folder: Path) -> dict[str, bytes]:
    """Remove a folder of outputs, and return its files without the record."""
    written = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    shutil.rmtree(folder)
    written.pop("job.json", None)
    return written


def print_cpus(what: str, goal: float, measure: Callable[[int], Measured]) -> None:
    """One CPU and all CPUs in turn."""
    pairs = []
    for _ in range(ROUNDS):
        (one, expected), (all_, found) = measure(1), measure(CPUS)
        assert found == expected, "results depend on the number of CPUs"
        pairs.append((one, all_))
    cells = [f"{statistics.median(column):.1f}" for column in zip(*pairs, strict=True)]
    ratio = statistics.median(one / all_ for one, all_ in pairs)
    print(f"| {what} | {' | '.join(cells)} | {ratio:.2f} | {goal:.2f} |", flush=True)


def head(what: str) -> None:
    print(f"| {what} | s on 1 CPU | s on {CPUS} | times as fast | goal |")
    print("|---|---:|---:|---:|---:|")


def tune(project: Path, folder: Path) -> None:
    dataset = make_dataset(project, folder / "large", 20_000)
    penguins = folder / "small" / "dataset"
    paths = ("--input_path", "data/penguins", "--output_path", penguins)
    shell(project, PYTHON, "entrypoints/preprocess.py", *paths)
    head("tune, 12 trials of 5 folds")
    goal = 0.9 * CPUS
    print_cpus("20,000 rows, the handler", goal, partial(handler, project, TUNING, dataset))
    print_cpus("20,000 rows, the whole job", goal, partial(job, project, "tune", dataset))
    print_cpus("penguins, the whole job", 1, partial(job, project, "tune", penguins))
    print()
    print(output(project, PYTHON, "-c", FITS, dataset))


def train(project: Path, folder: Path) -> None:
    dataset = make_dataset(project, folder / "large", 300_000)
    head("train")
    print_cpus("300,000 rows, the handler", 1.6, partial(handler, project, TRAINING, dataset))
    print_cpus("300,000 rows, the whole job", 1.6, partial(job, project, "train", dataset))


def print_over(costs: Mapping[str, list[Cost]], floor: str, goals: Mapping[str, str]) -> None:
    """The first side is what the others are compared with."""
    print("| | s | CPU s | peak MB | ratio | goal |\n|---|---:|---:|---:|---:|---:|")
    for name, found in costs.items():
        pairs = zip(found, costs[floor], strict=True)
        ratio = statistics.median(own.seconds / other.seconds for own, other in pairs)
        seconds = statistics.median(cost.seconds for cost in found)
        cpu = statistics.median(cost.cpu_seconds for cost in found)
        peak = statistics.median(cost.megabytes for cost in found)
        cells = f"{seconds:.1f} | {cpu:.1f} | {peak:.0f} | {ratio:.2f} | {goals.get(name, '')}"
        print(f"| {name} | {cells} |", flush=True)


def preprocess_over_polars(project: Path, folder: Path) -> None:
    """Polars' own: from CSV to Parquet without a split and without a filter."""
    python, other = project / PYTHON, project / "out" / "other"
    pandas = install_pandas(folder)
    for megabytes in (200, 1000):
        table = folder / str(megabytes) / "all.csv"
        make(project, {table: TABLE_ROWS * megabytes})
        costs: dict[str, list[Cost]] = {
            name: [] for name in ("Polars' own", "preprocess", "reading alone", "pandas")
        }
        for _ in range(ROUNDS):
            file = other / "all.parquet"
            costs["Polars' own"].append(run(project, python, "-c", FLOOR, table.parent, file))
            shutil.rmtree(other)
            costs["preprocess"].append(preprocess(project, table.parent))
            costs["reading alone"].append(run(project, python, "-c", READING, table.parent))
            costs["pandas"].append(run(project, pandas, "-c", PANDAS, table.parent, other))
            shutil.rmtree(other)
        print(f"\n{table.stat().st_size / 1e6:.0f} MB in one file\n")
        print_over(costs, "Polars' own", {"preprocess": "1.35"})
        table.unlink()


def files(project: Path, folder: Path) -> None:
    """1 GB: in one file, in 20 and in 1,000."""
    distinct = [folder / "distinct" / f"{number:02}.csv" for number in range(50)]
    make(project, dict.fromkeys(distinct, TABLE_ROWS))
    join(folder / "distinct", folder / "fifty" / "50.csv")
    layouts = {
        "20 files of 50 MB": link([folder / "fifty" / "50.csv"] * 20, folder / "20"),
        "1,000 files of 1 MB": link(distinct * 20, folder / "1000"),
    }
    join(folder / "20", folder / "1" / "all.csv")
    layouts = {"one file": folder / "1", **layouts}
    costs = {name: [preprocess(project, tables)] for name, tables in layouts.items()}
    for _ in range(ROUNDS - 1):
        for name, tables in layouts.items():
            costs[name].append(preprocess(project, tables))
    rows = {sum(cost.rows) for found in costs.values() for cost in found}
    assert len(rows) == 1, rows
    # A query of Polars for each file: its fixed cost is the limit for files of 1 MB.
    goals = {"20 files of 50 MB": "1.10", "1,000 files of 1 MB": "1.10"}
    print_over(costs, "one file", goals)


def start(project: Path, _: Path) -> None:
    """In a container, from the start of Python to the first line of the handler."""
    shell(project, "make", "image")
    image = f"{project.name}:{output(project, 'scripts/stamp.sh')}"
    print(output(project, "docker", "run", "--rm", "--entrypoint", "python", image, "-c", START))
    shell(project, "docker", "image", "rm", "--force", image)


def output(project: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=project, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


ROWS: Mapping[str, Callable[[Path, Path], None]] = {
    "tune": tune,
    "train": train,
    "preprocess": preprocess_over_polars,
    "files": files,
    "start": start,
}

if __name__ == "__main__":
    main()
